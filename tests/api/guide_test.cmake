# The programs in docs/api.md are the examples that are built and run:
# cmake -DSOURCE_DIR=... -P guide_test.cmake
file(READ ${SOURCE_DIR}/docs/api.md guide)
foreach(example generate_with_plan)
    file(READ ${SOURCE_DIR}/examples/${example}.cpp program)
    string(FIND "${guide}" "```cpp\n${program}```" place)
    if(place EQUAL -1)
        message(FATAL_ERROR "docs/api.md does not show examples/${example}.cpp as it is")
    endif()
endforeach()
