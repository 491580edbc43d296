// swift-tools-version:5.5
import PackageDescription

// CJunto is the module of c_api/module.modulemap, here or installed beside junto.h: name its folder
// with -Xcc -I, and that of the library with -Xlinker -L, where the system does not look.
let package = Package(
  name: "Junto",
  products: [.library(name: "Junto", targets: ["Junto"])],
  targets: [
    .target(name: "Junto"),
    .executableTarget(name: "Chat", dependencies: ["Junto"]),
    .executableTarget(name: "Guest", dependencies: ["Junto"]),
  ]
)
