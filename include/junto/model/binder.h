// Binder: finds the tensors a family names and checks that each is what the family expects.
#ifndef JUNTO_MODEL_BINDER_H_
#define JUNTO_MODEL_BINDER_H_

#include <cstdio>
#include <initializer_list>

#include "junto/model/spec.h"
#include "junto/quant/unpack.h"

namespace junto {

enum class Need : uint8_t { kRequired, kOptional };

// Every failure names the tensor: E_FORMAT when it is missing or has another shape, E_UNSUPPORTED
// when its type is none that Junto computes with. Within a layer, names are "blk.N.NAME".
class Binder {
 public:
  explicit Binder(const Gguf* gguf) : gguf_(gguf) {}

  void EnterLayer(uint32_t layer) {
    std::snprintf(prefix_, sizeof(prefix_), "blk.%u.", static_cast<unsigned>(layer));
  }
  void LeaveLayers() { prefix_[0] = '\0'; }

  Status BindVector(const char* name, uint32_t size, Need need, VectorRef* out) const {
    return Bind(name, {size}, need, out);
  }

  // NAME.weight [rows][columns] and, if `bias` allows it, NAME.bias [rows].
  Status BindMatrix(const char* name, uint32_t rows, uint32_t columns, Need bias,
                    MatrixRef* out) const {
    return BindMatrices(name, 0, rows, columns, bias, out);
  }

  // NAME.weight [experts][rows][columns] and NAME.bias [experts][rows]; experts 0 means one plain
  // matrix.
  Status BindMatrices(const char* name, uint32_t experts, uint32_t rows, uint32_t columns,
                      Need bias, MatrixRef* out) const {
    char full[64];
    std::snprintf(full, sizeof(full), "%s.weight", name);
    JUNTO_TRY(experts == 0 ? Bind(full, {columns, rows}, Need::kRequired, &out->weight)
                           : Bind(full, {columns, rows, experts}, Need::kRequired, &out->weight));
    std::snprintf(full, sizeof(full), "%s.bias", name);
    JUNTO_TRY(experts == 0 ? Bind(full, {rows}, bias, &out->bias)
                           : Bind(full, {rows, experts}, bias, &out->bias));
    out->rows = rows;
    out->columns = columns;
    out->count = experts == 0 ? 1 : experts;
    out->tensor_rows = rows;
    return Status();
  }

  // Two matrices in one tensor, NAME.weight [experts][2 * rows][columns]: `first` above `second`.
  Status BindPairs(const char* name, uint32_t experts, uint32_t rows, uint32_t columns,
                   MatrixRef* first, MatrixRef* second) const {
    JUNTO_TRY(BindMatrices(name, experts, 2 * rows, columns, Need::kOptional, first));
    if (first->bias != nullptr) {
      return Status::Make(Code::kUnsupported, "tensor '%s%s.bias': biases of %u matrices in one",
                          prefix_, name, 2u);
    }
    first->rows = rows;
    *second = *first;
    second->first_row = rows;
    return Status();
  }

  // Whether the current layer, or the model outside of layers, has the tensor.
  bool Has(const char* name) const {
    char full[96];
    std::snprintf(full, sizeof(full), "%s%s", prefix_, name);
    return gguf_->FindTensor(full) != nullptr;
  }

  // `dims` in the file's order, fastest first.
  Status Bind(const char* name, std::initializer_list<uint32_t> dims, Need need,
              const TensorInfo** out) const {
    char full[96];
    std::snprintf(full, sizeof(full), "%s%s", prefix_, name);
    const TensorInfo* tensor = gguf_->FindTensor(full);
    *out = tensor;
    if (tensor == nullptr) {
      if (need == Need::kOptional) return Status();
      return Status::Make(Code::kFormat, "tensor '%s' is missing among %zu", full,
                          gguf_->tensors().size());
    }
    JUNTO_TRY(CheckShape(*tensor, full, dims));
    if (FindSourceFormat(tensor->type) == nullptr) {
      const BlockTypeInfo* info = FindBlockType(static_cast<uint32_t>(tensor->type));
      return Status::Make(Code::kUnsupported, "tensor '%s' has type %s (%u), which has no kernels",
                          full, info->name, static_cast<unsigned>(tensor->type));
    }
    return Status();
  }

  const Gguf& gguf() const { return *gguf_; }

 private:
  static Status CheckShape(const TensorInfo& tensor, const char* name,
                           std::initializer_list<uint32_t> dims) {
    uint64_t expected[4] = {1, 1, 1, 1};
    uint32_t rank = 0;
    for (uint32_t dim : dims) expected[rank++] = dim;
    bool equal = true;
    for (int i = 0; i < 4; ++i) equal = equal && tensor.dims[i] == expected[i];
    if (equal) return Status();
    char wanted[88];
    char found[88];
    PrintShape(expected, rank, wanted, sizeof(wanted));
    PrintShape(tensor.dims, tensor.rank, found, sizeof(found));
    return Status::Make(Code::kFormat, "tensor '%s': shape %s expected, %s found", name, wanted,
                        found);
  }

  static void PrintShape(const uint64_t* dims, uint32_t rank, char* dst, size_t capacity) {
    size_t used = 0;
    for (uint32_t i = 0; i < rank && used < capacity; ++i) {
      used += static_cast<size_t>(std::snprintf(dst + used, capacity - used, "%s%llu",
                                                i == 0 ? "" : " x ",
                                                static_cast<unsigned long long>(dims[i])));
    }
  }

  const Gguf* gguf_;
  char prefix_[24] = "";
};

}  // namespace junto

#endif  // JUNTO_MODEL_BINDER_H_
