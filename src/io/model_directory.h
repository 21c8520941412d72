#pragma once

#include <string>

namespace lowkey {

/// The folder of a model as users name it: a path, or `small`, the built-in model, where no such
/// path exists. The built-in model is looked for beside the installed program or library first
/// (PREFIX/share/lowkey/models), then where lowkey was built, then where it was to be installed.
/// Throws FileError when it is in none of them, and for what is no directory (the name of a model
/// on the hub, a file), UnsupportedError for a GGUF file.
std::string model_directory(const std::string& model);

}  // namespace lowkey
