# See CMakeLists.txt here.
if(SANITIZE)
    message("skipped: a sanitized library needs sanitized programs (${SANITIZE})")
    return()
endif()
set(prefix ${WORK_DIR}/prefix)
file(REMOVE_RECURSE ${prefix} ${WORK_DIR}/build)

function(run)
    execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT OUTPUT_VARIABLE out ERROR_VARIABLE err RESULT_VARIABLE result)
    message("${out}${err}")
    if(result)
        message(FATAL_ERROR "failed: ${result}")
    endif()
    set(output "${out}" PARENT_SCOPE)
endfunction()
function(expect text)
    string(FIND "${output}" "${text}" place)
    if(place EQUAL -1)
        message(FATAL_ERROR "expected: ${text}")
    endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})

# By find_package, at this version and not at one to come.
run(${CMAKE_COMMAND} -S ${USER_DIR} -B ${WORK_DIR}/build -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${WORK_DIR}/build)
run(${WORK_DIR}/build/lowkey_user)
expect("the model is in ${prefix}/share/lowkey/models/small")

# By pkg-config.
set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
run(${PKG_CONFIG} --cflags --libs lowkey)
string(STRIP "${output}" flags)
separate_arguments(flags)
run(${COMPILER} -std=c++20 ${USER_DIR}/main.cpp ${flags} -Wl,-rpath,${prefix}/${LIBDIR} -o ${WORK_DIR}/by_pkg_config)
run(${WORK_DIR}/by_pkg_config)
expect("the model is in ${prefix}/share/lowkey/models/small")

# The program finds its model beside itself, too.
run(${prefix}/bin/lowkey info small)
