# The installed tree runs from anywhere: bin/octavo finds ../lib/octavo/plugins from its own place.
