# From one .cu file to what the program embeds: PTX, and the machine code made from that very PTX, so
# that what the emulated device proves is what a GPU runs.
set(FLASHBENCH_CUDA_TOOLS ${CMAKE_CURRENT_LIST_DIR})

# The architecture that a file is written for, by its name. 90a is code that only 9.0 runs.
function(flashbench_virtual_arch name result)
  if(name MATCHES "^simt_")
    set(${result} 75 PARENT_SCOPE)
  elseif(name MATCHES "_sm80_")
    set(${result} 80 PARENT_SCOPE)
  elseif(name MATCHES "_sm90a_")
    set(${result} 90a PARENT_SCOPE)
  else()
    message(FATAL_ERROR "${name}.cu: its name says no architecture; let it begin with simt_, or have _sm80_ or _sm90a_ in it")
  endif()
endfunction()

# Those of the architectures `wanted` that can run what was written for `virtual`: equal and later
# ones, but 90a alone where that is 90a.
function(flashbench_real_archs virtual wanted result)
  set(archs "")
  foreach(arch ${wanted})
    if(NOT arch MATCHES "^([0-9]+|90a)$")
      message(FATAL_ERROR "FLASHBENCH_CUDA_ARCHS has '${arch}'; use numbers and 90a, such as 75;80;90;90a")
    endif()
    if(arch STREQUAL virtual OR (arch MATCHES "^[0-9]+$" AND virtual MATCHES "^[0-9]+$" AND arch GREATER virtual))
      list(APPEND archs ${arch})
    endif()
  endforeach()
  set(${result} "${archs}" PARENT_SCOPE)
endfunction()

# Kernels whose use of local memory is accepted: NAME, or NAME.sm_ARCH, and why. There is none.
set(FLASHBENCH_CUDA_LOCAL_MEMORY "")

# The rule for machine code. ptxas.cmake fails where registers are spilled or ptxas remarks that it gave up
# what the code asked for.
function(flashbench_cubin ptx arch cubin)
  get_filename_component(name ${ptx} NAME_WE)
  set(local_memory OFF)
  if(name IN_LIST FLASHBENCH_CUDA_LOCAL_MEMORY OR "${name}.sm_${arch}" IN_LIST FLASHBENCH_CUDA_LOCAL_MEMORY)
    set(local_memory ON)
  endif()
  add_custom_command(OUTPUT ${cubin}
    COMMAND ${CMAKE_COMMAND} -DPTXAS=${FLASHBENCH_PTXAS} -DARCH=sm_${arch} -DPTX=${ptx} -DCUBIN=${cubin}
            -DLOCAL_MEMORY=${local_memory} -P ${FLASHBENCH_CUDA_TOOLS}/ptxas.cmake
    DEPENDS ${ptx} ${FLASHBENCH_CUDA_TOOLS}/ptxas.cmake VERBATIM COMMENT "ptxas ${name}.ptx -> sm_${arch}")
endfunction()

# Writes the paths of machine code, one a line, for the tests that read it.
function(flashbench_list_cubins file cubins)
  list(JOIN cubins "\n" lines)
  file(CONFIGURE OUTPUT ${file} CONTENT "${lines}\n" @ONLY)
endfunction()

# Adds the rules for one file; appends its path without suffix to the list `result` and those of its machine
# code to the list `all_cubins`. NAME_16bit.cu is compiled twice, to the images NAME_bf16 and NAME_f16: two
# compilations that run at once.
function(flashbench_cuda_image source result all_cubins)
  get_filename_component(name ${source} NAME_WE)
  set(images ${${result}})
  set(cubins ${${all_cubins}})
  if(name MATCHES "^(.*)_16bit$")
    set(stem ${CMAKE_MATCH_1})
    flashbench_compile(${source} ${stem}_bf16 images cubins -DFLASHBENCH_DTYPE=bf16 -DFLASHBENCH_ELEMENT=Bf16)
    flashbench_compile(${source} ${stem}_f16 images cubins -DFLASHBENCH_DTYPE=f16 -DFLASHBENCH_ELEMENT=F16)
  else()
    flashbench_compile(${source} ${name} images cubins)
  endif()
  set(${result} ${images} PARENT_SCOPE)
  set(${all_cubins} ${cubins} PARENT_SCOPE)
endfunction()

# One compilation of a file, to the image `name`; what follows goes to nvcc. Paths in the PTX are made relative,
# so that a build does not depend on where it lies.
function(flashbench_compile source name result all_cubins)
  flashbench_virtual_arch(${name} virtual)
  flashbench_real_archs(${virtual} "${FLASHBENCH_CUDA_ARCHS}" archs)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/kernels)
  file(MAKE_DIRECTORY ${folder})
  set(image ${folder}/${name})
  add_custom_command(OUTPUT ${image}.ptx
    COMMAND ${FLASHBENCH_NVCC} -ptx -lineinfo -std=c++20 --expt-relaxed-constexpr
            -arch=compute_${virtual} -I${PROJECT_SOURCE_DIR}/lib -MD -MF ${image}.ptx.d -MT ${image}.ptx
            ${ARGN} ${source} -o ${image}.ptx
    COMMAND sed -i "s|${PROJECT_SOURCE_DIR}/||" ${image}.ptx
    DEPENDS ${source} DEPFILE ${image}.ptx.d VERBATIM COMMENT "nvcc ${name} -> PTX")
  set(parts "--image3=kind=ptx,sm=${virtual},file=${image}.ptx")
  set(machine_code "")
  foreach(arch ${archs})
    set(cubin ${image}.sm_${arch}.cubin)
    flashbench_cubin(${image}.ptx ${arch} ${cubin})
    list(APPEND machine_code ${cubin})
    list(APPEND parts "--image3=kind=elf,sm=${arch},file=${cubin}")
  endforeach()
  add_custom_command(OUTPUT ${image}.fatbin
    COMMAND ${FLASHBENCH_FATBINARY} --create=${image}.fatbin -64 --compress-mode=size ${parts}
    DEPENDS ${image}.ptx ${machine_code} VERBATIM COMMENT "fatbinary ${name}")
  set(${result} ${${result}} ${image} PARENT_SCOPE)
  set(${all_cubins} ${${all_cubins}} ${machine_code} PARENT_SCOPE)
endfunction()

# Adds to `target` the source that holds the images as bytes, and the function of flashbench::cuda that
# lists them.
function(flashbench_embed_images target function images)
  set(bytes "")
  set(rows "")
  set(files "")
  foreach(image ${images})
    get_filename_component(name ${image} NAME)
    foreach(kind ptx fatbin)
      list(APPEND files ${image}.${kind})
      string(APPEND bytes "FLASHBENCH_EMBED(${name}_${kind}, \"${image}.${kind}\")\n")
    endforeach()
    string(APPEND rows "      {\"${name}\", {${name}_ptx, ${name}_ptx_end}, {${name}_fatbin, ${name}_fatbin_end}},\n")
  endforeach()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_${function}.cc)
  configure_file(${FLASHBENCH_CUDA_TOOLS}/embedded_images.cc.in ${source} @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${files}")
  target_sources(${target} PRIVATE ${source})
endfunction()

# The target cuda_all_archs, no part of the default build: machine code of every image for every
# architecture that this nvcc knows, in one folder.
function(flashbench_cuda_all_archs images)
  execute_process(COMMAND ${FLASHBENCH_NVCC} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9]+" known "${known}")
  list(APPEND known 90a)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/all_archs)
  file(MAKE_DIRECTORY ${folder})
  set(cubins "")
  foreach(image ${images})
    get_filename_component(name ${image} NAME)
    flashbench_virtual_arch(${name} virtual)
    flashbench_real_archs(${virtual} "${known}" archs)
    foreach(arch ${archs})
      flashbench_cubin(${image}.ptx ${arch} ${folder}/${name}.sm_${arch}.cubin)
      list(APPEND cubins ${folder}/${name}.sm_${arch}.cubin)
    endforeach()
  endforeach()
  add_custom_target(cuda_all_archs DEPENDS ${cubins})
  flashbench_list_cubins(${folder}/cubins.txt "${cubins}")
endfunction()
