# Highway::Highway, from pkg-config: the name of its CMake package differs between releases.
find_package(PkgConfig QUIET)
pkg_check_modules(PC_HWY QUIET libhwy)
find_path(Highway_INCLUDE_DIR hwy/highway.h HINTS ${PC_HWY_INCLUDE_DIRS})
find_library(Highway_LIBRARY hwy HINTS ${PC_HWY_LIBRARY_DIRS})
set(Highway_VERSION ${PC_HWY_VERSION})
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Highway REQUIRED_VARS Highway_LIBRARY Highway_INCLUDE_DIR
  VERSION_VAR Highway_VERSION)
if(Highway_FOUND AND NOT TARGET Highway::Highway)
  add_library(Highway::Highway UNKNOWN IMPORTED)
  set_target_properties(Highway::Highway PROPERTIES IMPORTED_LOCATION ${Highway_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${Highway_INCLUDE_DIR})
endif()
mark_as_advanced(Highway_INCLUDE_DIR Highway_LIBRARY)
