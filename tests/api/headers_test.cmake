# Every public header compiles alone, without warnings, and shows the standard library's and
# lowkey's own types only: cmake -DHEADERS=include -DCOMPILER=c++ -P headers_test.cmake
file(GLOB headers RELATIVE ${HEADERS} ${HEADERS}/lowkey/*.h)
set(failures "")
foreach(header ${headers})
    file(STRINGS ${HEADERS}/${header} includes REGEX "^ *# *include")
    foreach(include ${includes})
        if(NOT include MATCHES "^#include (<[a-z_]+>|\"lowkey/[a-z_]+\\.h\")$")
            list(APPEND failures "${header}: ${include}")
        endif()
    endforeach()
    file(WRITE alone.cpp "#include <${header}>\n")
    execute_process(
        COMMAND ${COMPILER} -std=c++20 -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -I ${HEADERS} alone.cpp
        RESULT_VARIABLE result ERROR_VARIABLE errors)
    if(result)
        list(APPEND failures "${header} does not compile alone:\n${errors}")
    endif()
endforeach()
if(failures OR NOT headers)
    list(JOIN failures "\n" text)
    message(FATAL_ERROR "${text}")
endif()
