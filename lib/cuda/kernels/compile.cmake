# From one .cu file to what the program embeds: PTX, and the machine code made from that very PTX, so
# that what the emulated device proves is what a GPU runs.
set(FLASHBENCH_CUDA_WORK ${CMAKE_CURRENT_BINARY_DIR}/kernels)
file(MAKE_DIRECTORY ${FLASHBENCH_CUDA_WORK})

# The architecture that a file is written for, by the prefix of its name.
function(flashbench_virtual_arch name result)
  if(name MATCHES "^simt_")
    set(${result} 75 PARENT_SCOPE)
  elseif(name MATCHES "_sm80_")
    set(${result} 80 PARENT_SCOPE)
  else()
    message(FATAL_ERROR "lib/cuda/kernels/${name}.cu: its name says no architecture; begin it with simt_ or mma_sm80_")
  endif()
endfunction()

# nvcc's code list: machine code for every wanted capability that can run it, and the PTX itself.
function(flashbench_code_list virtual result)
  set(codes "compute_${virtual}")
  foreach(arch ${FLASHBENCH_CUDA_ARCHS})
    if(NOT arch MATCHES "^[0-9]+$")
      message(FATAL_ERROR "FLASHBENCH_CUDA_ARCHS has '${arch}'; use numbers such as 75;80;90")
    endif()
    if(NOT arch LESS virtual)
      list(APPEND codes "sm_${arch}")
    endif()
  endforeach()
  list(JOIN codes "," codes)
  set(${result} "[${codes}]" PARENT_SCOPE)
endfunction()

# Adds the rules for one file; its name is appended to the list `result`. Paths in the PTX are made relative, so that
# a build does not depend on where it lies. A register that is spilled fails the build.
function(flashbench_cuda_image source result)
  get_filename_component(name ${source} NAME_WE)
  flashbench_virtual_arch(${name} virtual)
  flashbench_code_list(${virtual} codes)
  set(ptx ${FLASHBENCH_CUDA_WORK}/${name}.ptx)
  set(fatbin ${FLASHBENCH_CUDA_WORK}/${name}.fatbin)
  add_custom_command(OUTPUT ${ptx}
    COMMAND ${FLASHBENCH_NVCC} -ptx -lineinfo -std=c++20 --expt-relaxed-constexpr
            -arch=compute_${virtual} -I${PROJECT_SOURCE_DIR}/lib -MD -MF ${ptx}.d -MT ${ptx} ${source} -o ${ptx}
    COMMAND sed -i "s|${PROJECT_SOURCE_DIR}/||" ${ptx}
    DEPENDS ${source} DEPFILE ${ptx}.d VERBATIM COMMENT "nvcc ${name}.cu -> PTX")
  add_custom_command(OUTPUT ${fatbin}
    COMMAND ${FLASHBENCH_NVCC} -fatbin --compress-mode=size
            -gencode arch=compute_${virtual},code=${codes}
            -Xptxas=-warn-spills,-warn-lmem-usage,-Werror ${ptx} -o ${fatbin}
    DEPENDS ${ptx} VERBATIM COMMENT "ptxas ${name}.ptx -> ${codes}")
  set(${result} ${${result}} ${name} PARENT_SCOPE)
endfunction()

# Writes and adds the source that holds the images as bytes.
function(flashbench_embed_images names)
  set(bytes "")
  set(rows "")
  set(files "")
  foreach(name ${names})
    foreach(kind ptx fatbin)
      set(file ${FLASHBENCH_CUDA_WORK}/${name}.${kind})
      list(APPEND files ${file})
      string(APPEND bytes "FLASHBENCH_EMBED(${name}_${kind}, \"${file}\")\n")
    endforeach()
    string(APPEND rows "      {\"${name}\", {${name}_ptx, ${name}_ptx_end}, {${name}_fatbin, ${name}_fatbin_end}},\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_images.cc)
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/kernels/embedded_images.cc.in ${source} @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
  target_sources(flashbench_cuda PRIVATE ${source})
endfunction()
