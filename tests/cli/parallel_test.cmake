# A program's output must not depend on how many threads the system gives it. WAY says how it gets few: commands that run
# under it print what they print without it, and the loops' own tests hold.
# cmake -DPROGRAM=lowkey -DBASE_TEST=base_test -DWAY=... -P parallel_test.cmake
set(generate ${PROGRAM} generate small -p "Once upon a time" -n 48 --temperature 0 --quiet)

if(WAY STREQUAL "thread_limit")
    set(under env OMP_THREAD_LIMIT=1)
elseif(WAY STREQUAL "dynamic_teams")
    set(under env OMP_DYNAMIC=true OMP_MAX_ACTIVE_LEVELS=0)
elseif(WAY STREQUAL "one_processor")
    find_program(TASKSET taskset REQUIRED)
    execute_process(COMMAND sh -c "taskset -cp $$ | sed 's/.*: //; s/[-,].*//'" OUTPUT_VARIABLE processor
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    set(under ${TASKSET} -c ${processor})
else()
    message(FATAL_ERROR "no such way: ${WAY}")
endif()

execute_process(COMMAND ${generate} OUTPUT_VARIABLE want COMMAND_ERROR_IS_FATAL ANY)
foreach(threads default 1 3)
    set(flag --threads ${threads})
    if(threads STREQUAL "default")
        set(flag)
    endif()
    execute_process(COMMAND ${under} ${generate} ${flag} OUTPUT_VARIABLE got COMMAND_ERROR_IS_FATAL ANY)
    if(NOT got STREQUAL want)
        message(FATAL_ERROR "${WAY}, --threads ${threads}: got\n${got}\ninstead of\n${want}")
    endif()
endforeach()
execute_process(COMMAND ${under} ${BASE_TEST} --gtest_filter=Parallel.* --gtest_brief=1 COMMAND_ERROR_IS_FATAL ANY)
