# What `cmake --install` lays where; scripts/pack makes a Debian package of it. Most is found by its place in the
# tree, so that a new unit, page or completion needs no line here.
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(ztmpfs_documents ${CMAKE_INSTALL_DATADIR}/doc/ztmpfs)

install(TARGETS ztmpfs ztmpfsctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# mount(8) looks for /sbin/mount.TYPE; /sbin is /usr/sbin in every system that a package of ours is for.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/links)
foreach(type ztmpfs fuse.ztmpfs)
  file(CREATE_LINK ../${CMAKE_INSTALL_BINDIR}/ztmpfs ${CMAKE_BINARY_DIR}/links/mount.${type} SYMBOLIC)
  install(FILES ${CMAKE_BINARY_DIR}/links/mount.${type} DESTINATION ${CMAKE_INSTALL_SBINDIR})
endforeach()

# ztmpfs_install_all(DESTINATION PATTERN... [PROGRAMS]): the files of the source tree that match.
function(ztmpfs_install_all destination)
  cmake_parse_arguments(ARG "PROGRAMS" "" "" ${ARGN})
  list(TRANSFORM ARG_UNPARSED_ARGUMENTS PREPEND ${CMAKE_SOURCE_DIR}/)
  file(GLOB files CONFIGURE_DEPENDS ${ARG_UNPARSED_ARGUMENTS})
  if(ARG_PROGRAMS)
    install(PROGRAMS ${files} DESTINATION ${destination})
  else()
    install(FILES ${files} DESTINATION ${destination})
  endif()
endfunction()

# systemd's folders are below lib whatever the machine's libraries are below.
ztmpfs_install_all(lib/systemd/system systemd/*.service systemd/*.socket systemd/*.target systemd/*.slice)
ztmpfs_install_all(lib/systemd/user systemd/user/*.service systemd/user/*.socket systemd/user/*.target)
ztmpfs_install_all(lib/systemd/system-generators systemd/generators/* PROGRAMS)
ztmpfs_install_all(lib/tmpfiles.d systemd/tmpfiles.d/*.conf)
ztmpfs_install_all(lib/sysusers.d systemd/sysusers.d/*.conf)
ztmpfs_install_all(${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions packaging/completions/_*)
ztmpfs_install_all(${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d packaging/completions/*.fish)
ztmpfs_install_all(${ztmpfs_documents}/examples packaging/*.toml packaging/Containerfile packaging/compose.yaml)
ztmpfs_install_all(${ztmpfs_documents} README.md CHANGELOG.md)

# bash looks a completion up by the name of the command.
file(GLOB completions CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/packaging/completions/*.bash)
foreach(completion IN LISTS completions)
  cmake_path(GET completion STEM command)
  install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${command})
endforeach()

# docs/NAME.SECTION.md are man pages; the rest of docs/ is for users too, but for what only developers read.
find_program(ZTMPFS_MD2MAN go-md2man)
file(GLOB documents CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/*)
set(pages "")
foreach(document IN LISTS documents)
  cmake_path(GET document FILENAME name)
  if(name MATCHES "^(.+)\\.([1-8])\\.md$")
    set(page ${CMAKE_BINARY_DIR}/man/${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.gz)
    add_custom_command(OUTPUT ${page}
                       COMMAND ${CMAKE_SOURCE_DIR}/packaging/man-page ${PROJECT_VERSION} ${document} ${page}
                       DEPENDS ${document} ${CMAKE_SOURCE_DIR}/packaging/man-page VERBATIM)
    list(APPEND pages ${page})
    if(ZTMPFS_MD2MAN)
      install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${CMAKE_MATCH_2})
    endif()
  elseif(NOT name MATCHES "^(decisions|requests)\\.md$")
    install(FILES ${document} DESTINATION ${ztmpfs_documents})
  endif()
endforeach()
if(ZTMPFS_MD2MAN)
  add_custom_target(man ALL DEPENDS ${pages})
else()
  message(STATUS "no man pages: there is no go-md2man (scripts/deps package installs it)")
endif()
