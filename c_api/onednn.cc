#include "c_api/onednn.h"

#ifdef JUNTO_ONEDNN
#include <dnnl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
#include <omp.h>
#elif DNNL_CPU_RUNTIME != DNNL_RUNTIME_SEQ
#error "oneDNN must be built for OpenMP, which is kept to one thread here, or for no threads at all"
#endif
#endif

namespace junto {

#ifndef JUNTO_ONEDNN

Status CreateOneDnnGemm(Memory*, Owned<FloatGemm>*) {
  return Status::Make(Code::kUnsupported, "built with 0 libraries for fast float products: oneDNN");
}

#else

namespace {

// Keeps oneDNN's OpenMP to the calling thread while it lives. The setting belongs to the thread
// and is put back.
class SingleThread {
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_OMP
 public:
  SingleThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThread() { omp_set_num_threads(before_); }

 private:
  int before_;
#else
 public:
  SingleThread() {}
#endif
};

Status Check(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return Status();
  if (status == dnnl_out_of_memory) return Code::kMemory;
  return Status::Make(Code::kInternal, "oneDNN: %s gives status %d", what,
                      static_cast<int>(status));
}

constexpr size_t kAlignment = 64;
constexpr size_t kMaxShapes = 16;  // of a model's tiles; others go through our own kernels

// Owns what dnnl_*_create made.
template <class T, dnnl_status_t (*kDestroy)(T)>
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : value_(other.value_) { other.value_ = nullptr; }
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (value_ != nullptr) kDestroy(value_);
  }
  T get() const { return value_; }
  T* put() { return &value_; }

 private:
  T value_ = nullptr;
};
using Engine = Handle<dnnl_engine_t, dnnl_engine_destroy>;
using Stream = Handle<dnnl_stream_t, dnnl_stream_destroy>;
using Primitive = Handle<dnnl_primitive_t, dnnl_primitive_destroy>;
using PrimitiveDesc = Handle<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy>;
using Attributes = Handle<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy>;
using DnnlMemory = Handle<dnnl_memory_t, dnnl_memory_destroy>;

// y [kRows][outputs] = x [kRows][columns] * w [columns][outputs].
struct Shape {
  uint32_t columns;
  uint32_t outputs;
  Primitive primitive;
  dnnl_memory_desc_t x, w, y, scratch;
};

constexpr int kArguments[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};

// What one product needs while it runs, for every shape.
struct Context {
  std::atomic<bool> busy{false};
  Stream stream;
  DnnlMemory memory[kMaxShapes][4];
  Block block;
  float* x = nullptr;
  float* w = nullptr;
  float* y = nullptr;
  uint8_t* scratch = nullptr;
};

class OneDnnGemm final : public FloatGemm {
 public:
  explicit OneDnnGemm(Memory* memory)
      : memory_(memory), shapes_({memory, Tag::kObject}), contexts_({memory, Tag::kObject}) {}

  Status Prepare(uint32_t columns, uint32_t outputs) override {
    if (Find(columns, outputs) != shapes_.size() || shapes_.size() == kMaxShapes) return Status();
    const SingleThread single;
    if (engine_.get() == nullptr) {
      JUNTO_TRY(Check(dnnl_engine_create(engine_.put(), dnnl_cpu, 0), "the engine"));
    }
    shapes_.push_back(Shape{columns, outputs, {}, {}, {}, {}, {}});
    Shape* shape = &shapes_.back();
    JUNTO_TRY(Describe(kRows, columns, &shape->x));
    JUNTO_TRY(Describe(columns, outputs, &shape->w));
    JUNTO_TRY(Describe(kRows, outputs, &shape->y));
    dnnl_matmul_desc_t matmul;
    JUNTO_TRY(Check(dnnl_matmul_desc_init(&matmul, &shape->x, &shape->w, nullptr, &shape->y),
                    "a matrix product"));
    Attributes attributes;
    JUNTO_TRY(Check(dnnl_primitive_attr_create(attributes.put()), "attributes"));
    JUNTO_TRY(
        Check(dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user),
              "a scratchpad of ours"));
    PrimitiveDesc desc;
    JUNTO_TRY(Check(
        dnnl_primitive_desc_create(desc.put(), &matmul, attributes.get(), engine_.get(), nullptr),
        "a primitive's description"));
    shape->scratch = *dnnl_primitive_desc_query_md(desc.get(), dnnl_query_scratchpad_md, 0);
    return Check(dnnl_primitive_create(shape->primitive.put(), desc.get()), "a primitive");
  }

  Status Ready(uint32_t workers, const KernelTable* kernels) override {
    kernels_ = kernels;
    if (shapes_.empty()) return Status();
    const SingleThread single;
    // Sessions that run at once share these; whoever finds none uses our own kernels.
    for (uint32_t i = 0; i < 2 * workers; ++i) {
      contexts_.push_back(New<Context>(memory_, Tag::kObject));
      JUNTO_TRY(Fill(contexts_.back().get()));
    }
    return Status();
  }

  uint32_t Multiply(const MatmulArgs& args) override {
    const uint32_t outputs = args.panel_count * kPanelRows;
    const size_t shape = Find(args.weights.columns, outputs);
    const bool whole = args.first_panel * kPanelRows + outputs <= args.weights.rows;
    if (shape == shapes_.size() || !whole || args.count < kRows) return 0;
    Context* context = Take();
    if (context == nullptr) return 0;
    const uint32_t rows = Run(args, shape, context);
    context->busy.store(false, std::memory_order_release);
    return rows;
  }

 private:
  static Status Describe(uint32_t rows, uint32_t columns, dnnl_memory_desc_t* desc) {
    const dnnl_dims_t dims = {rows, columns};
    return Check(dnnl_memory_desc_init_by_tag(desc, 2, dims, dnnl_f32, dnnl_ab), "a matrix");
  }

  size_t Find(uint32_t columns, uint32_t outputs) const {
    size_t i = 0;
    while (i < shapes_.size() && (shapes_[i].columns != columns || shapes_[i].outputs != outputs)) {
      ++i;
    }
    return i;
  }

  Status Fill(Context* context) {
    uint64_t sizes[4] = {};
    for (const Shape& shape : shapes_) {
      const uint64_t wanted[4] = {uint64_t{kRows} * shape.columns * sizeof(float),
                                  uint64_t{shape.columns} * shape.outputs * sizeof(float),
                                  uint64_t{kRows} * shape.outputs * sizeof(float),
                                  dnnl_memory_desc_get_size(&shape.scratch)};
      for (int i = 0; i < 4; ++i) sizes[i] = std::max(sizes[i], RoundUp(wanted[i], kAlignment));
    }
    JUNTO_TRY(Block::Allocate(memory_, sizes[0] + sizes[1] + sizes[2] + sizes[3], kAlignment,
                              Tag::kObject, &context->block));
    context->x = reinterpret_cast<float*>(context->block.data());
    context->w = context->x + sizes[0] / sizeof(float);
    context->y = context->w + sizes[1] / sizeof(float);
    context->scratch = reinterpret_cast<uint8_t*>(context->y + sizes[2] / sizeof(float));
    JUNTO_TRY(
        Check(dnnl_stream_create(context->stream.put(), engine_.get(), dnnl_stream_default_flags),
              "a stream"));
    void* const places[4] = {context->x, context->w, context->y, context->scratch};
    for (size_t s = 0; s < shapes_.size(); ++s) {
      const dnnl_memory_desc_t* descs[4] = {&shapes_[s].x, &shapes_[s].w, &shapes_[s].y,
                                            &shapes_[s].scratch};
      for (int i = 0; i < 4; ++i) {
        JUNTO_TRY(Check(
            dnnl_memory_create(context->memory[s][i].put(), descs[i], engine_.get(), places[i]),
            "a memory object"));
      }
    }
    return Status();
  }

  Context* Take() {
    for (Owned<Context>& context : contexts_) {
      if (!context->busy.load(std::memory_order_relaxed) &&
          !context->busy.exchange(true, std::memory_order_acquire)) {
        return context.get();
      }
    }
    return nullptr;
  }

  uint32_t Run(const MatmulArgs& args, size_t shape, Context* context) {
    const SingleThread single;
    const uint32_t outputs = shapes_[shape].outputs;
    kernels_->widen_panels(args.weights, args.first_panel, args.panel_count, context->w);
    dnnl_exec_arg_t given[4];
    for (int i = 0; i < 4; ++i) given[i] = {kArguments[i], context->memory[shape][i].get()};
    uint32_t done = 0;
    for (; done + kRows <= args.count; done += kRows) {
      if (dnnl_memory_set_data_handle(given[0].memory, Rows(args, done, context->x)) !=
          dnnl_success) {
        break;
      }
      if (dnnl_primitive_execute(shapes_[shape].primitive.get(), context->stream.get(), 4, given) !=
          dnnl_success) {
        break;
      }
      for (uint32_t t = 0; t < kRows; ++t) {
        const float* from = context->y + t * outputs;
        float* to = args.y + (done + t) * args.y_stride;
        std::copy(from, from + outputs, to);
        if (args.bias != nullptr) {
          kernels_->add(args.bias + args.first_panel * kPanelRows, outputs, to);
        }
      }
    }
    return done;
  }

  // Rows [first, first + kRows) of the input, gathered in `room` unless they lie together.
  static void* Rows(const MatmulArgs& args, uint32_t first, float* room) {
    const uint32_t columns = args.weights.columns;
    const auto* x = static_cast<const float*>(args.x);
    if (args.x_rows == nullptr && args.x_stride == columns) {
      return const_cast<float*>(x + size_t{first} * columns);
    }
    for (uint32_t t = 0; t < kRows; ++t) {
      const size_t row = args.x_rows == nullptr ? first + t : args.x_rows[first + t];
      std::memcpy(room + size_t{t} * columns, x + row * args.x_stride, columns * sizeof(float));
    }
    return room;
  }

  Memory* memory_;
  const KernelTable* kernels_ = nullptr;
  Engine engine_;
  Vector<Shape> shapes_;
  Vector<Owned<Context> > contexts_;
};

}  // namespace

Status CreateOneDnnGemm(Memory* memory, Owned<FloatGemm>* gemm) {
  *gemm = New<OneDnnGemm, FloatGemm>(memory, Tag::kObject, memory);
  return Status();
}

#endif  // JUNTO_ONEDNN

}  // namespace junto
