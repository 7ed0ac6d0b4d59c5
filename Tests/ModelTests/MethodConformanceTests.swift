import Adapters
import Checkpoints
import TestSupport
import Testing
import TransformerModels

@testable import Engine

extension EngineTests {
  /// The battery of `perigee test-adapter`, for every method on every family.
  @Suite struct MethodConformanceTests {
    @Test(arguments: tinyModels, AdapterCase.all)
    func everyMethodPassesOrSaysWhyNot(_ name: String, _ row: AdapterCase) throws {
      let family = try ConformanceFamily(HuggingFaceConfig(folder: fixturesFolder + "/models/" + name), seed: 1)
      // Gradients are compared with PyTorch's elsewhere.
      let test = AdapterConformance(row.method, targets: row.targets, over: row.base, on: family, exactGradient: false)
      for check in AdapterConformance.checks {
        if case .failed(let why) = try test.outcome(check.run) { Issue.record("\(check.name): \(why)") }
      }
    }
  }
}
