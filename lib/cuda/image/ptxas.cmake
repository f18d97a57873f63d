# cmake -DPTXAS=... -DARCH=sm_90 -DPTX=in -DCUBIN=out [-DLOCAL_MEMORY=ON] -P ptxas.cmake: machine code from PTX, or an error
# where it would be slower than the code says.
#
# Spills are warnings, made errors. What ptxas only remarks (C75xx: wgmma serialised, a wait for it
# injected, setmaxnreg ignored) passes -Werror, so its output is read.
set(gates -warn-spills -warn-lmem-usage -Werror)
if(LOCAL_MEMORY)
  set(gates "")
endif()
execute_process(COMMAND ${PTXAS} -arch=${ARCH} -m64 ${gates} ${PTX} -o ${CUBIN}
                RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(said)
  message("${said}")
endif()
if(NOT result EQUAL 0)
  file(REMOVE ${CUBIN})
  message(FATAL_ERROR "ptxas failed (${result}) for ${ARCH}: ${PTX}")
endif()
if(said MATCHES "\\(C75[0-9][0-9]\\)")
  file(REMOVE ${CUBIN})
  message(FATAL_ERROR "ptxas for ${ARCH} does not do what ${PTX} asks for: ${CMAKE_MATCH_0}, see above")
endif()
