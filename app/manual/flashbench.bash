# bash completion of flashbench. Made by scripts/manual.py of what --help says.
_flashbench() {
  local cur=${COMP_WORDS[COMP_CWORD]} flag=${COMP_WORDS[COMP_CWORD-1]} flags= words= before=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W 'forward backward bench check info compare help --help --version' -- "$cur"))
    return
  fi
  if [[ ${COMP_WORDS[1]} == help ]]; then
    if ((COMP_CWORD == 2)); then COMPREPLY=($(compgen -W 'forward backward bench check info compare' -- "$cur")); fi
    return
  fi
  if [[ $cur == '=' ]]; then cur=
  elif [[ $flag == '=' ]]; then flag=${COMP_WORDS[COMP_CWORD-2]}; fi
  case ${COMP_WORDS[1]} in
    forward) flags='--b --h --h_kv --q_len --kv_len --ragged --d --d_v --v_in_k --pass --dtype --kv_dtype --f32_math --page_size --kv_chunk --causal --window_left --window_right --mask --mask_keep --do --scale --softcap --alibi --bias --bias_shape --bias_grad --sinks --seed --values --config --part --type --backend --device --isa --threads --kernel --plugin --abi --ptx --launch --worker --deterministic --q_block --kv_block --isolate --patience --input --q --k --v --q_name --k_name --v_name --do_name --mask_name --sinks_name --alibi_name --bias_name --layout --output --save_inputs --verify --profile --profile_sort --trace --dry_run --json --csv --md --help --version' ;;
    backward) flags='--b --h --h_kv --q_len --kv_len --ragged --d --d_v --v_in_k --pass --dtype --kv_dtype --f32_math --page_size --kv_chunk --causal --window_left --window_right --mask --mask_keep --do --scale --softcap --alibi --bias --bias_shape --bias_grad --sinks --seed --values --config --part --type --backend --device --isa --threads --kernel --plugin --abi --ptx --launch --worker --deterministic --q_block --kv_block --isolate --patience --input --q --k --v --q_name --k_name --v_name --do_name --mask_name --sinks_name --alibi_name --bias_name --layout --output --save_inputs --verify --profile --profile_sort --trace --dry_run --json --csv --md --help --version' ;;
    bench) flags='--b --h --h_kv --q_len --kv_len --ragged --d --d_v --v_in_k --pass --dtype --kv_dtype --f32_math --page_size --kv_chunk --causal --window_left --window_right --mask --mask_keep --do --scale --softcap --alibi --bias --bias_shape --bias_grad --sinks --seed --values --config --part --type --backend --device --isa --threads --kernel --plugin --abi --ptx --launch --worker --deterministic --q_block --kv_block --isolate --patience --input --q --k --v --q_name --k_name --v_name --do_name --mask_name --sinks_name --alibi_name --bias_name --layout --max_noise --min_samples --min_time --timeout --budget --cache --calibrate --verify --profile --profile_sort --explain --trace --dry_run --quiet --json --resume --resume_anyway --csv --md --bmf --github_benchmark --help --version' ;;
    check) flags='--b --h --h_kv --q_len --kv_len --ragged --d --d_v --v_in_k --pass --dtype --kv_dtype --f32_math --page_size --kv_chunk --causal --window_left --window_right --mask --mask_keep --do --scale --softcap --alibi --bias --bias_shape --bias_grad --sinks --seed --values --config --part --type --backend --device --emulated_seeds --isa --threads --kernel --plugin --abi --ptx --launch --worker --deterministic --q_block --kv_block --repeat --isolate --patience --input --q --k --v --q_name --k_name --v_name --do_name --mask_name --sinks_name --alibi_name --bias_name --layout --external --rounds --list --filter --verify --profile --profile_sort --dry_run --quiet --json --csv --md --junit --fail_on --help --version --context_parallel --engine --ranks --layout_seq --ulysses --ring_window' ;;
    info) flags='--isa --threads --as --kernels --json --help --version' ;;
    compare) flags='--threshold --by --run --timeout --json --md --fail_on --help --version' ;;
  esac
  case $flag in
    --v_in_k) words='true false' ;;
    --pass) words='forward backward both' ;;
    --dtype) words='f32 bf16 f16' ;;
    --kv_dtype) words='e4m3 e5m2' ;;
    --f32_math) words='ieee bf16x6' ;;
    --causal) words='true false' ;;
    --mask) words='none random' ;;
    --do) words='ones random' ;;
    --alibi) words='none standard' ;;
    --bias) words='none random' ;;
    --bias_shape) words='1x1 1xh bx1 bxh' ;;
    --bias_grad) words='true false' ;;
    --sinks) words='none random' ;;
    --values) words='normal uniform positive constant outlier_channel outlier_rows' ;;
    --config) words='bert_base bloom_7b1 deepseek_v3 flash_attention_2 flash_attention_3 gemma2_9b gemma3_12b gpt2 gpt_oss_20b llama3_8b mistral_7b origin phi3 quick qwen2_5_7b qwen3_8b t5_base vit_l16 vllm_mixed_batch whisper_large' ;;
    --type) words='flash normal paper plugin worker' ;;
    --backend) words='auto cpu cuda' ;;
    --device) words='emulated' ;;
    --isa) words='scalar sse4 avx2 avx512 avx512_bf16 neon' ;;
    --kernel) words=$("${COMP_WORDS[0]}" info --kernels 2>/dev/null) ;;
    --abi) words='flashbench_kernel tvm-ffi' ;;
    --deterministic) words='true false' ;;
    --isolate) words='true false' ;;
    --layout) words='bhsd bshd' ;;
    --verify) words='auto full sample none' ;;
    --profile) words='true false' ;;
    --profile_sort) words='time memory' ;;
    --dry_run) words='true false' ;;
    --cache) words='warm cold' ;;
    --calibrate) words='true false' ;;
    --explain) words='true false' ;;
    --quiet) words='true false' ;;
    --resume_anyway) words='true false' ;;
    --rounds) words='gradients_of_query_heads' ;;
    --list) words='true false' ;;
    --fail_on) words='slower ambiguous missing skipped none' ;;
    --context_parallel) words='ring all_gather ulysses' ;;
    --layout_seq) words='contiguous zigzag striped' ;;
    --as) words='sm_80 sm_90' ;;
    --kernels) words='true false' ;;
    --by) words='type isa threads dtype' ;;
  esac
  if [[ -n $words ]]; then  # the rest of a list: f32,bf
    if [[ $cur == *,* ]]; then before=${cur%,*},; fi
    COMPREPLY=($(compgen -P "$before" -W "$words" -- "${cur##*,}"))
  fi
  case $flag in
    --ragged|--mask|--do|--alibi|--bias|--sinks|--config|--plugin|--ptx|--launch|--input|--q|--k|--v|--output|--save_inputs|--trace|--json|--csv|--md|--resume|--bmf|--github_benchmark|--external|--junit|--run) COMPREPLY+=($(compgen -f -- "$cur")) ;;
    --b|--h|--h_kv|--q_len|--kv_len|--d|--d_v|--page_size|--kv_chunk|--window_left|--window_right|--mask_keep|--scale|--softcap|--seed|--part|--threads|--kernel|--worker|--q_block|--kv_block|--patience|--q_name|--k_name|--v_name|--do_name|--mask_name|--sinks_name|--alibi_name|--bias_name|--max_noise|--min_samples|--min_time|--timeout|--budget|--emulated_seeds|--repeat|--filter|--engine|--ranks|--ulysses|--ring_window|--threshold) ;;
    --v_in_k|--causal|--bias_grad|--deterministic|--profile|--dry_run|--calibrate|--explain|--quiet|--resume_anyway|--list|--kernels) COMPREPLY+=($(compgen -W "$flags" -- "$cur")) ;;
    *) if [[ -z $words ]]; then
         if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$cur"))
         else COMPREPLY=($(compgen -W "$flags" -- "--${cur#--}") $(compgen -f -- "$cur")); fi
       fi ;;
  esac
}
complete -o filenames -F _flashbench flashbench
