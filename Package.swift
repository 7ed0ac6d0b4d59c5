// swift-tools-version: 6.0
import Foundation
import PackageDescription

/// oneDNN is optional: `PERIGEE_ONEDNN=0`, or a machine without its headers, builds on OpenBLAS alone. Its library is loaded
/// when it is first used.
let hasOneDNN =
  Context.environment["PERIGEE_ONEDNN"] != "0"
  && FileManager.default.fileExists(atPath: "/usr/include/oneapi/dnnl/dnnl.h")

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies)
}

/// Recorded answers and the scripts that made them; tests read them through `packageRoot`.
func unbuilt(_ name: String) -> [String] {
  ["Fixtures", "Generators"].filter {
    FileManager.default.fileExists(atPath: "\(Context.packageDirectory)/Tests/\(name)/\($0)")
  }
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies + ["TestSupport"], exclude: unbuilt(name))
}

let package = Package(
  name: "perigee",
  platforms: [.macOS(.v14)],
  products: [.executable(name: "perigee", targets: ["perigee"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
  ],
  targets: [
    // System libraries and C.
    .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .target(name: "CLimits"),
    // An MPI library is loaded when a launcher has started several processes.
    .target(name: "CMPI", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    // libedit is loaded when the first line is read at a terminal.
    .target(name: "CEditLine", linkerSettings: [.linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(
      name: "CKernels", dependencies: ["COpenBLAS", "CLimits"],
      // Debug builds look into Swift; kernels that are not optimised would only make them slow.
      cSettings: (hasOneDNN ? [.define("PERIGEE_ONEDNN", to: "1")] : []) + [.unsafeFlags(["-O2"], .when(configuration: .debug))],
      linkerSettings: [.linkedLibrary("m"), .linkedLibrary("dl", .when(platforms: [.linux]))]),
    .target(name: "CLuaBridge", dependencies: ["CLua", "CLimits"]),
    .target(name: "CBenchmarks", dependencies: ["CKernels"]),

    // Each target has one reason to change; arrows point down only.
    library("Diagnostics", ["CLimits"]),
    library("Files", ["CLimits", "CXXHash", "Diagnostics"]),
    library("Patterns", ["Diagnostics"]),
    library("Metrics", ["Files"]),
    library("Templates", ["Files"]),
    library("Tokenizers", ["Files", "Patterns", "Templates"]),
    library("Datasets", ["Files"]),
    library("TensorCore", ["CKernels", "CLimits", "COpenBLAS", "Diagnostics"]),
    library("Checkpoints", ["Files"]),
    library("NN", ["TensorCore", "Checkpoints"]),
    library("Optimizers", ["NN"]),
    library("TransformerModels", ["NN", "Checkpoints"]),
    library("Adapters", ["NN", "Checkpoints", "Patterns"]),
    library("Tasks", ["TransformerModels", "Datasets", "Tokenizers", "Metrics"]),
    library("Generation", ["TransformerModels", "Tokenizers"]),
    library("Training", ["Tasks", "Adapters", "Optimizers", "Generation"]),
    library("LuaHost", ["CLuaBridge", "Files"]),
    library("Pipelines", ["Files"]),
    library("Runs", ["Pipelines", "Metrics", "CSQLite"]),
    library("Reports", ["Pipelines", "Metrics"]),
    library("Engine", ["CMPI", "Training", "Runs"]),
    library("LuaTensors", ["LuaHost", "NN"]),
    library("LuaMethods", ["LuaTensors", "Engine"]),
    library("Bindings", ["LuaMethods", "Reports"]),
    library("Commands", ["Bindings", "CEditLine"]),
    library("Benchmarks", ["CBenchmarks", "CLimits", "Engine"]),
    library("Serving", ["Engine", .product(name: "FlyingSocks", package: "FlyingFox")]),
    .executableTarget(
      name: "perigee",
      dependencies: [
        "Commands", "Benchmarks", "Serving", "CLimits", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),

    .target(name: "TestSupport", dependencies: ["TensorCore", "Checkpoints"], path: "Tests/TestSupport"),
    tests("FileTests", ["Files", "Checkpoints"]),
    tests("PatternTests", ["Patterns", "Files"]),
    tests("TokenizerTests", ["Tokenizers", "Templates"]),
    tests("MetricTests", ["Metrics"]),
    tests("DatasetTests", ["Datasets", "Metrics"]),
    tests("LuaHostTests", ["LuaHost"]),
    tests("TensorCoreTests", ["TensorCore", "NN", "Optimizers"]),
    tests("ModelTests", ["Tasks", "Adapters", "Optimizers", "Engine"]),
    tests("TrainingTests", ["Training"]),
    tests("GenerationTests", ["Generation", "Engine"]),
    tests("ReportTests", ["Reports"]),
    tests("PipelineTests", ["Runs", "Commands"]),
    tests("BenchmarkTests", ["Benchmarks", "CLimits"]),
    tests("ServingTests", ["Serving"]),
  ],
  swiftLanguageModes: [.v6]
)
