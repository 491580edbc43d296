# What `cmake --install` puts where, for find_package(junto) and pkg-config.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/junto)
set(targets junto_headers junto_static)
if(JUNTO_BUILD_SHARED)
  list(APPEND targets junto)
endif()

install(TARGETS ${targets} EXPORT junto)
install(EXPORT junto NAMESPACE junto:: FILE junto-targets.cmake DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/junto DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES junto.h junto_table.h module.modulemap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES junto.json DESTINATION ${CMAKE_INSTALL_DATADIR}/junto)

# A static library needs what it was built with, found in the same way.
configure_package_config_file(junto-config.cmake.in junto-config.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(junto-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/junto-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/junto-config-version.cmake
  ${PROJECT_SOURCE_DIR}/third_party/FindHighway.cmake
  ${PROJECT_SOURCE_DIR}/third_party/FindoneDNN.cmake
  ${PROJECT_SOURCE_DIR}/third_party/FindPCRE2.cmake
  ${PROJECT_SOURCE_DIR}/third_party/Findutf8proc.cmake
  DESTINATION ${package_dir})

# Found from where it lies, so that an installed tree can be moved.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pkgconfig_to_prefix /${pkgconfig_dir} /)
if(JUNTO_ONEDNN)
  set(oneDNN_libraries " -ldnnl -lgomp")
endif()
configure_file(junto.pc.in junto.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/junto.pc DESTINATION ${pkgconfig_dir})
