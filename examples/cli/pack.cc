// junto pack: a model's file made ready to be used in place.
#include <chrono>
#include <cstdio>

#include "format.h"
#include "open.h"

namespace cli {

int Pack(const PackOptions& options) {
  junto_error error = NewError();
  const std::string& from = options.model.path;
  const Runtime runtime = NewRuntime(options.model);
  const auto start = std::chrono::steady_clock::now();
  const AbandonOnInterrupt abandon;
  junto_status status;
  {
    Progress progress(!options.model.quiet && ErrorIsTerminal(), "packing");
    const junto_model_desc desc = ModelDesc(options.model, 0, &progress);
    status = junto_model_pack(runtime.get(), from.data(), from.size(), options.out.data(),
                              options.out.size(), &desc, &error);
  }
  if (status < 0 && AbandonOnInterrupt::Happened()) {
    throw Failure("interrupted: '" + options.out + "' was not written");
  }
  Check(status, error);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!options.model.quiet) {
    std::fprintf(stderr, "%s: written in %.1f s with %s of memory\n", options.out.c_str(),
                 took.count(), Bytes(Memory(runtime.get()).peak).c_str());
  }
  return 0;
}

}  // namespace cli
