# SPDX-License-Identifier: MIT
# The leg with XRT, seen from outside: a project that has no sources of its own. It configures and builds this very
# checkout inside the Debian tree NPUMM_XRT_TREE, in the folder `inner` of its own build folder. Tests there whose label
# matches NPUMM_XRT_LABELS are its own, too: each is run inside the tree, and passes, fails or is skipped here as it does
# there.
project(npumatmul-xrt LANGUAGES NONE)

set(NPUMM_XRT_TREE "" CACHE PATH "A tree that tests/setup --xrt has made")
set(NPUMM_XRT_LABELS "^(xrt|unit)$" CACHE STRING "Which tests run inside the tree: a regex for their labels")
set(NPUMM_XRT_TARGETS all CACHE STRING "What is built inside the tree")
set(NPUMM_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address,undefined or thread")

set(here ${PROJECT_SOURCE_DIR}/tests/xrt)
set(inner ${PROJECT_BINARY_DIR}/inner)
set(enter ${here}/enter ${NPUMM_XRT_TREE} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR} ${PROJECT_BINARY_DIR})

# By itself, so that nothing but the reason is said where there is no tree.
execute_process(COMMAND ${enter} true RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "The tree cannot be entered.")
endif()
execute_process(
  COMMAND ${enter} cmake -S ${PROJECT_SOURCE_DIR} -B ${inner} -G Ninja
          -DNPUMM_XRT=on -DNPUMM_WERROR=ON -DNPUMM_SANITIZE=${NPUMM_SANITIZE}
  COMMAND_ERROR_IS_FATAL ANY)

add_custom_target(inner ALL
  COMMAND ${enter} cmake --build ${inner} --target ${NPUMM_XRT_TARGETS}
  COMMAND ${enter} ctest --test-dir ${inner} --show-only=json-v1 > ${inner}/tests.json
  COMMAND ${CMAKE_COMMAND} -D "ENTER=${here}/enter;${NPUMM_XRT_TREE};${PROJECT_SOURCE_DIR};${PROJECT_BINARY_DIR}"
          -D LABELS=${NPUMM_XRT_LABELS} -D FROM=${inner}/tests.json -D TO=${PROJECT_BINARY_DIR}/inner-tests.cmake
          -P ${here}/adopt.cmake
  COMMENT "Building inside the tree"
  USES_TERMINAL VERBATIM)

enable_testing()
set_directory_properties(PROPERTIES TEST_INCLUDE_FILES ${PROJECT_BINARY_DIR}/inner-tests.cmake)
