// May the code in this file be run? A plugin has all rights of the user who starts octavo.
#pragma once

#include <filesystem>

namespace octavo::plugin {

// Throws Error unsupported with the reason if somebody else could have put the file there or replace it:
//  - the file or its folder is writable for everybody (also a sticky one: anybody may add files to /tmp);
//  - a folder further up is writable for everybody and not sticky (it could be renamed away);
//  - file or folder belongs to somebody else than root, the user of this process, and the owner of the
//    running program (who could have put anything into the program itself);
//  - file or folder is writable for another group than root's, this process's own, and the program's.
// `path` is absolute and without symbolic links. Throws Error io if a part cannot be looked at.
void check_trust(const std::filesystem::path& path);

}  // namespace octavo::plugin
