# The only CMake abstractions of the project.

# ztmpfs_library(NAME SOURCES a.cc ... [PUBLIC libs] [PRIVATE libs]): one layer.
function(ztmpfs_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(ztmpfs_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(ztmpfs_${name} PUBLIC ztmpfs_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# ztmpfs_variant(NAME LAYERS a b ... [WITHOUT c.cc ...] [DEFINITIONS ...] [INCLUDES ...]): these layers compiled once
# more, otherwise, as one library. What includes their headers is compiled otherwise too. INCLUDES are searched before the project.
function(ztmpfs_variant name)
  cmake_parse_arguments(ARG "" "" "LAYERS;WITHOUT;DEFINITIONS;INCLUDES" ${ARGN})
  add_library(${name} STATIC)
  target_include_directories(${name} BEFORE PUBLIC ${ARG_INCLUDES})
  target_compile_definitions(${name} PUBLIC ${ARG_DEFINITIONS})
  target_link_libraries(${name} PUBLIC ztmpfs_options)
  list(TRANSFORM ARG_LAYERS PREPEND ztmpfs_ OUTPUT_VARIABLE layers)
  foreach(layer IN LISTS layers)
    get_target_property(folder ${layer} SOURCE_DIR)
    get_target_property(sources ${layer} SOURCES)
    list(REMOVE_ITEM sources ${ARG_WITHOUT})
    list(TRANSFORM sources PREPEND ${folder}/)
    target_sources(${name} PRIVATE ${sources})
    get_target_property(libraries ${layer} LINK_LIBRARIES)
    list(REMOVE_ITEM libraries ${layers})
    target_link_libraries(${name} PUBLIC ${libraries})
  endforeach()
endfunction()

# ztmpfs_test(NAME SOURCES a_test.cc ... LIBS libs [LABELS labels] [TIMEOUT seconds]): one GoogleTest program.
function(ztmpfs_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
endfunction()

# ztmpfs_bench(NAME SOURCES a_bench.cc LIBS libs): one Google Benchmark program, run at smoke size by the suite.
function(ztmpfs_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} benchmark::benchmark_main)
  add_test(NAME ${name}_smoke COMMAND ${name} --benchmark_min_time=0.001)
  set_tests_properties(${name}_smoke PROPERTIES LABELS "bench-smoke" TIMEOUT 120)
endfunction()

# ztmpfs_fuzz(NAME SOURCES a_fuzz.cc LIBS libs): one libFuzzer program, built by the fuzz preset only.
function(ztmpfs_fuzz name)
  if(ZTMPFS_FUZZ)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  endif()
endfunction()
