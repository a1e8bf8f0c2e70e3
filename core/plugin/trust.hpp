// May the code in this file be run? A plugin has all rights of the user who starts octavo.
#pragma once

#include <filesystem>

namespace octavo::plugin {

// Throws Error unsupported with the reason if somebody else could have put the file there or could replace
// it:
//  - the file or its folder is writable for everybody (a sticky folder such as /tmp too: anybody may add
//  files);
//  - a folder further up is writable for everybody and not sticky (it could be renamed away);
//  - file or folder belongs to somebody who is neither root, nor the user of this process, nor the owner of
//  the
//    running program (who could have put anything into the program itself);
//  - file or folder is writable for a group that is neither root's, nor this process's own, nor the
//  program's.
// `path` is absolute and without symbolic links. Throws Error io if a part cannot be looked at.
void check_trust(const std::filesystem::path& path);

}  // namespace octavo::plugin
