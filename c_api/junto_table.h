/* clang-format off */
/* Generated from junto.h by generate.py; do not edit.
 *
 * All functions of junto.h as one struct, for programs that open the library by hand: look up
 * junto_get_table alone. Functions are only ever appended; those beyond struct_size the
 * library does not have. */
#ifndef JUNTO_TABLE_H_
#define JUNTO_TABLE_H_

#include "junto.h"

#if defined(__cplusplus)
extern "C" {
#endif

typedef struct junto_table {
  uint32_t struct_size;
  uint32_t reserved; /* 0 */
  uint32_t (JUNTO_CALL* version)(void);
  const char*(JUNTO_CALL* build_info)(void);
  const char*(JUNTO_CALL* status_name)(junto_status s);
  void (JUNTO_CALL* error_init)(junto_error* e, size_t size);
  void (JUNTO_CALL* runtime_desc_init)(junto_runtime_desc* d, size_t size);
  junto_status (JUNTO_CALL* runtime_create)(const junto_runtime_desc* desc, junto_runtime** out,
      junto_error* err);
  void (JUNTO_CALL* runtime_release)(junto_runtime* r);
  junto_status (JUNTO_CALL* runtime_memory)(const junto_runtime* r, junto_tag tag,
      uint64_t* current, uint64_t* peak);
  void (JUNTO_CALL* model_desc_init)(junto_model_desc* d, size_t size);
  void (JUNTO_CALL* model_info_init)(junto_model_info* i, size_t size);
  junto_status (JUNTO_CALL* model_load)(junto_runtime* r, const char* name, size_t name_size,
      const junto_model_desc* desc, junto_model** out, junto_error* err);
  junto_status (JUNTO_CALL* model_load_memory)(junto_runtime* r, const void* data, uint64_t size,
      const junto_model_desc* desc, junto_model** out, junto_error* err);
  junto_status (JUNTO_CALL* model_pack)(junto_runtime* r, const char* name, size_t name_size,
      const char* packed, size_t packed_size, const junto_model_desc* desc, junto_error* err);
  void (JUNTO_CALL* model_retain)(junto_model* m);
  void (JUNTO_CALL* model_release)(junto_model* m);
  junto_status (JUNTO_CALL* model_get_info)(const junto_model* m, junto_model_info* out);
  junto_status (JUNTO_CALL* model_get_meta)(const junto_model* m, const char* key,
      size_t key_size, char* dst, size_t capacity, size_t* size);
  junto_status (JUNTO_CALL* tokenize)(const junto_model* m, const char* text, size_t text_size,
      uint32_t flags, junto_token* dst, size_t capacity, size_t* count, junto_error* err);
  junto_status (JUNTO_CALL* detokenize)(const junto_model* m, const junto_token* tokens,
      size_t count, uint32_t flags, char* dst, size_t capacity, size_t* size, junto_error* err);
  junto_status (JUNTO_CALL* prompt_create)(junto_model* m, junto_prompt** out, junto_error* err);
  void (JUNTO_CALL* prompt_release)(junto_prompt* p);
  junto_status (JUNTO_CALL* prompt_set_variable)(junto_prompt* p, const char* key,
      size_t key_size, const char* value, size_t value_size, junto_error* err);
  junto_status (JUNTO_CALL* prompt_begin_turn)(junto_prompt* p, const char* role, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* prompt_end_turn)(junto_prompt* p, junto_error* err);
  junto_status (JUNTO_CALL* prompt_add_text)(junto_prompt* p, const char* text, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* prompt_add_tokens)(junto_prompt* p, const junto_token* tokens,
      size_t count, junto_error* err);
  junto_status (JUNTO_CALL* prompt_render)(const junto_prompt* p, char* dst, size_t capacity,
      size_t* size, junto_error* err);
  void (JUNTO_CALL* session_desc_init)(junto_session_desc* d, size_t size);
  void (JUNTO_CALL* sampling_init)(junto_sampling* s, size_t size);
  junto_status (JUNTO_CALL* session_plan)(const junto_model* m, const junto_session_desc* desc,
      junto_tag tag, uint64_t* bytes, junto_error* err);
  junto_status (JUNTO_CALL* session_create)(junto_model* m, const junto_session_desc* desc,
      junto_session** out, junto_error* err);
  void (JUNTO_CALL* session_release)(junto_session* s);
  junto_status (JUNTO_CALL* session_fork)(junto_session* s, junto_session** out,
      junto_error* err);
  junto_status (JUNTO_CALL* session_rewind)(junto_session* s, uint64_t position,
      junto_error* err);
  junto_status (JUNTO_CALL* session_set_sampling)(junto_session* s, const junto_sampling* p,
      junto_error* err);
  junto_status (JUNTO_CALL* session_add_stop)(junto_session* s, const char* text, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* session_snapshot)(junto_session* s, void* dst, size_t capacity,
      size_t* size, junto_error* err);
  junto_status (JUNTO_CALL* session_restore)(junto_session* s, const void* data, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* session_set_bias)(junto_session* s, const junto_token* tokens,
      const float* biases, size_t count, junto_error* err);
  junto_status (JUNTO_CALL* session_prefill)(junto_session* s, const junto_prompt* p,
      junto_error* err);
  junto_status (JUNTO_CALL* session_step)(junto_session* s, uint64_t budget_ns,
      junto_stream_fn fn, void* user, junto_error* err);
  junto_status (JUNTO_CALL* session_generate)(junto_session* s, junto_stream_fn fn, void* user,
      junto_error* err);
  junto_status (JUNTO_CALL* session_read)(junto_session* s, char* dst, size_t capacity,
      size_t* size);
  void (JUNTO_CALL* session_cancel)(junto_session* s);
  junto_status (JUNTO_CALL* session_evaluate)(junto_session* s, junto_logits_fn fn, void* user,
      junto_error* err);
  void (JUNTO_CALL* usage_init)(junto_usage* u, size_t size);
  junto_status (JUNTO_CALL* session_get_usage)(const junto_session* s, junto_usage* out);
  junto_status (JUNTO_CALL* batch_plan)(const junto_model* m, uint32_t max_sessions,
      uint32_t max_tokens_per_pass, junto_tag tag, uint64_t* bytes, junto_error* err);
  junto_status (JUNTO_CALL* batch_create)(junto_model* m, uint32_t max_sessions,
      uint32_t max_tokens_per_pass, junto_batch** out, junto_error* err);
  void (JUNTO_CALL* batch_release)(junto_batch* b);
  junto_status (JUNTO_CALL* batch_add)(junto_batch* b, junto_session* s, junto_error* err);
  junto_status (JUNTO_CALL* batch_remove)(junto_batch* b, junto_session* s, junto_error* err);
  junto_status (JUNTO_CALL* batch_step)(junto_batch* b, uint64_t budget_ns, junto_stream_fn fn,
      void* user, junto_error* err);
  junto_status (JUNTO_CALL* prompt_set_tools)(junto_prompt* p, const char* json, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* prompt_set_template)(junto_prompt* p, const char* source,
      size_t size, junto_error* err);
  junto_status (JUNTO_CALL* prompt_begin_tool_turn)(junto_prompt* p, const char* name,
      size_t size, junto_error* err);
  junto_status (JUNTO_CALL* prompt_add_reasoning)(junto_prompt* p, const char* text, size_t size,
      junto_error* err);
  junto_status (JUNTO_CALL* prompt_add_tool_call)(junto_prompt* p, const char* name,
      size_t name_size, const char* arguments, size_t arguments_size, junto_error* err);
  junto_status (JUNTO_CALL* session_set_output)(junto_session* s, uint32_t flags,
      junto_error* err);
  void (JUNTO_CALL* chunk_init)(junto_chunk* c, size_t size);
  junto_status (JUNTO_CALL* session_read_chunk)(junto_session* s, char* dst, size_t capacity,
      junto_chunk* chunk);
} junto_table;

/* [any] Static; NULL when the library's major version is another. */
JUNTO_API const junto_table* JUNTO_CALL junto_get_table(uint32_t abi_major);

#if defined(__cplusplus)
}
#endif
#endif
