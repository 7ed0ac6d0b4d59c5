import Adapters
import NN
import TestSupport
import Testing
import TransformerModels

extension EngineTests {
  @Suite struct ModuleTreeTests {
    @Test func treeShowsShapesAdaptersAndEqualLayersOnce() throws {
      let model = try tinyModel("tiny-bert")
      let plain = model.tree()
      #expect(plain.contains("0-1: TransformerLayer"))
      #expect(plain.contains("query: Linear(weight [32, 32], bias [32])"))
      #expect(!plain.contains("lora_A"))
      var targets = AdapterTargets()
      targets.layersToTransform = [1]
      var lora = LoRA()
      lora.r = 3
      try model.attach(lora, targets: targets)
      let adapted = model.tree()
      #expect(adapted.contains("+ default: LoRAAdapter(lora_A.weight [3, 32]*, lora_B.weight [32, 3]*)"))
      #expect(!adapted.contains("0-1: TransformerLayer"))
    }
  }
}
