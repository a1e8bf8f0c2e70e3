# find_package(octavo-sdk): the targets octavo::sdk (headers) and octavo::manifest, and octavo_add_plugin().
include("${CMAKE_CURRENT_LIST_DIR}/octavo-sdk-targets.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/OctavoPlugin.cmake")
