# Headers of libraries take most of the time that a source compiles, so they are read once for all targets
# with the same flags. Sources include what they use all the same: without LOWKEY_PRECOMPILE they compile too.
option(LOWKEY_PRECOMPILE "Precompile the headers of libraries" ON)

set(LOWKEY_STD_HEADERS <algorithm> <array> <atomic> <cmath> <cstdint> <cstring> <fstream> <functional> <map>
    <memory> <mutex> <numeric> <optional> <random> <set> <span> <sstream> <stdexcept> <string> <string_view> <thread>
    <unordered_map> <utility> <variant> <vector> <fmt/format.h>)

# lowkey_precompile_headers(NAME [EXECUTABLE] HEADERS ... [LINK ...]): headers that lowkey_precompiled(TARGET NAME) uses;
# EXECUTABLE is for targets that are programs, whose code is positioned in another way.
function(lowkey_precompile_headers name)
    cmake_parse_arguments(PARSE_ARGV 1 ARG "EXECUTABLE" "" "HEADERS;LINK")
    if(NOT LOWKEY_PRECOMPILE)
        return()
    endif()
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "int main() {}\n")
    if(ARG_EXECUTABLE)
        add_executable(${name} EXCLUDE_FROM_ALL ${source})
    else()
        add_library(${name} OBJECT EXCLUDE_FROM_ALL ${source})
    endif()
    target_link_libraries(${name} PRIVATE lowkey_flags Threads::Threads fmt::fmt ${ARG_LINK})
    target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()

function(lowkey_precompiled target name)
    if(LOWKEY_PRECOMPILE)
        target_precompile_headers(${target} REUSE_FROM ${name})
    endif()
endfunction()
