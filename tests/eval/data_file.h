#pragma once

#include <string>

namespace lowkey::test {

/// A file of tests/data/eval.
inline std::string data_file(const std::string& name) {
    return std::string(LOWKEY_TEST_DATA) + "/eval/" + name;
}

}  // namespace lowkey::test
