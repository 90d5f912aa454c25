# Warnings, language and sanitizers, chosen by preset and carried by one interface target.
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(ZTMPFS_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address, undefined, thread")
option(ZTMPFS_FUZZ "Build the libFuzzer targets (clang only)" OFF)

add_library(ztmpfs_options INTERFACE)
target_include_directories(ztmpfs_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(ztmpfs_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(ztmpfs_options INTERFACE -Wthread-safety -Werror=thread-safety)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports false positives from inlined std::expected and Boost code.
  target_compile_options(ztmpfs_options INTERFACE -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow
                                                  -Wno-restrict)
  # What is packaged: the same bytes wherever it is built, with or without ccache (which makes the paths relative), and
  # what Debian builds its own packages with.
  file(RELATIVE_PATH to_source ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
  string(REGEX REPLACE "/$" "" to_source "${to_source}")
  target_compile_options(ztmpfs_options INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${to_source}=.
                                                  -ffile-prefix-map=${CMAKE_BINARY_DIR}=./build -fstack-protector-strong
                                                  $<$<CONFIG:Release,RelWithDebInfo>:-D_FORTIFY_SOURCE=2>)
  target_link_options(ztmpfs_options INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()
if(ZTMPFS_SANITIZE)
  target_compile_options(ztmpfs_options INTERFACE -fsanitize=${ZTMPFS_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(ztmpfs_options INTERFACE -fsanitize=${ZTMPFS_SANITIZE})
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
