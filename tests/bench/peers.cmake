# SPDX-License-Identifier: MIT
# What benchmarks compare npumatmul with, where it is installed (tests/setup --bench):
#
#   NPUMM_HAVE_DNNL   oneDNN 2; target npumm-dnnl, NPUMM_DNNL_VERSION
#   NPUMM_HAVE_GRPC   gRPC for C++; target PkgConfig::GRPC, programs NPUMM_PROTOC and NPUMM_GRPC_PLUGIN
#
# NPUMM_BENCH_PEERS is auto (what is there), on (fail where something is not) or off. Builds with sanitizers have none:
# none of them was built for that.

set(NPUMM_HAVE_DNNL OFF)
set(NPUMM_HAVE_GRPC OFF)
set(lacking "")
string(TOLOWER "${NPUMM_BENCH_PEERS}" wanted)
if(NOT wanted MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "NPUMM_BENCH_PEERS is ${NPUMM_BENCH_PEERS}, but must be auto, on or off")
elseif(wanted STREQUAL "off" OR NPUMM_SANITIZE)
  message(STATUS "Benchmarks' peers: not wanted; what compares with oneDNN and gRPC is not built")
  return()
endif()

# Its own CMake package insists on OpenCL.
find_library(NPUMM_DNNL_LIBRARY dnnl)
find_path(NPUMM_DNNL_INCLUDE oneapi/dnnl/dnnl_version.h)
if(NPUMM_DNNL_LIBRARY AND NPUMM_DNNL_INCLUDE)
  file(STRINGS ${NPUMM_DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h lines REGEX "define DNNL_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" numbers "${lines}")
  string(REPLACE ";" "." NPUMM_DNNL_VERSION "${numbers}")
endif()
if(NPUMM_DNNL_VERSION MATCHES "^2\\.")
  set(NPUMM_HAVE_DNNL ON)
  add_library(npumm-dnnl INTERFACE)
  target_link_libraries(npumm-dnnl INTERFACE ${NPUMM_DNNL_LIBRARY})
  target_include_directories(npumm-dnnl SYSTEM INTERFACE ${NPUMM_DNNL_INCLUDE})
else()
  list(APPEND lacking "oneDNN 2")
endif()

pkg_check_modules(GRPC QUIET IMPORTED_TARGET grpc++ protobuf)
find_program(NPUMM_PROTOC protoc)
find_program(NPUMM_GRPC_PLUGIN grpc_cpp_plugin)
if(GRPC_FOUND AND NPUMM_PROTOC AND NPUMM_GRPC_PLUGIN)
  set(NPUMM_HAVE_GRPC ON)
else()
  list(APPEND lacking "gRPC")
endif()
mark_as_advanced(NPUMM_DNNL_LIBRARY NPUMM_DNNL_INCLUDE NPUMM_PROTOC NPUMM_GRPC_PLUGIN)

if(NOT lacking)
  message(STATUS "Benchmarks' peers: oneDNN ${NPUMM_DNNL_VERSION}, gRPC ${GRPC_grpc++_VERSION}")
else()
  list(JOIN lacking " and " lacking)
  if(wanted STREQUAL "on")
    message(FATAL_ERROR "NPUMM_BENCH_PEERS=on, but there is no ${lacking}; tests/setup --bench installs it")
  endif()
  message(STATUS "Benchmarks' peers: there is no ${lacking}; what compares with it is not built (tests/setup --bench)")
endif()
