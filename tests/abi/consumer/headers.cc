// Uses the header-only core with nothing linked.
#include <junto/base/memory.h>
#include <junto/quant/panel.h>

int main() {
  const bool padded = junto::PanelCount(9) == 2;
  return padded && junto::Status(junto::Code::kIo).failed() ? 0 : 1;
}
