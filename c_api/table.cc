// clang-format off
// Generated from junto.h by generate.py; do not edit.
#include "c_api/junto_table.h"

extern "C" {

const junto_table* junto_get_table(uint32_t abi_major) {
  static const junto_table table = {
      sizeof(junto_table),
      0,
      junto_version,
      junto_build_info,
      junto_status_name,
      junto_error_init,
      junto_runtime_desc_init,
      junto_runtime_create,
      junto_runtime_release,
      junto_runtime_memory,
      junto_model_desc_init,
      junto_model_info_init,
      junto_model_load,
      junto_model_load_memory,
      junto_model_pack,
      junto_model_retain,
      junto_model_release,
      junto_model_get_info,
      junto_model_get_meta,
      junto_tokenize,
      junto_detokenize,
      junto_prompt_create,
      junto_prompt_release,
      junto_prompt_set_variable,
      junto_prompt_begin_turn,
      junto_prompt_end_turn,
      junto_prompt_add_text,
      junto_prompt_add_tokens,
      junto_prompt_render,
      junto_session_desc_init,
      junto_sampling_init,
      junto_session_plan,
      junto_session_create,
      junto_session_release,
      junto_session_fork,
      junto_session_rewind,
      junto_session_set_sampling,
      junto_session_add_stop,
      junto_session_snapshot,
      junto_session_restore,
      junto_session_set_bias,
      junto_session_prefill,
      junto_session_step,
      junto_session_generate,
      junto_session_read,
      junto_session_cancel,
      junto_session_evaluate,
      junto_usage_init,
      junto_session_get_usage,
      junto_batch_plan,
      junto_batch_create,
      junto_batch_release,
      junto_batch_add,
      junto_batch_remove,
      junto_batch_step,
  };
  return abi_major == JUNTO_VERSION_MAJOR ? &table : nullptr;
}

}  // extern "C"
