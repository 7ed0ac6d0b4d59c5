import Adapters
import Diagnostics
import Engine
import LuaHost

/// A method with its options, ready to be attached.
public final class AdapterSpec: LuaObject {
  public static let luaName = "Adapter"
  public static let expectedWord = "an adapter, such as adapters.lora { r = 8 }"
  package let method: any AdapterMethod
  package let targets: AdapterTargets
  package let name: String
  package let seed: Int?

  init(_ method: any AdapterMethod, targets: AdapterTargets, name: String, seed: Int?) {
    self.method = method
    self.targets = targets
    self.name = name
    self.seed = seed
  }
}

extension AdapterOptions: LuaRecord {}

/// The module `adapters`: a constructor for each method of the catalogue, and `define`, which fills `definitions`.
package func adaptersModule(_ definitions: LuaDefinitions) -> Module {
  let classes = [
    Class<AdapterSpec>(
      "A fine-tuning method with its options, for Model:add_adapter.",
      .property("name", "the adapter's name in a model") { $0.name },
      .property("method", "the method's name") { $0.method.name },
      .metamethod("__tostring", "method and options", Param<AdapterSpec>("adapter", "an adapter")) { spec in
        let given = (spec.method as? LuaMethod)?.given ?? spec.method.options
        let options = given.members.filter { $1 != .object([:]) }.map { "\($0) = \($1.encoded(.canonical))" }
        return "\(spec.method.name) { \(options.joined(separator: ", ")) }"
      }
    ).declaration, adaptedLayerClass().declaration, linearExpressionClass().declaration,
  ]
  return Module(
    "adapters", "Parameter-efficient fine-tuning methods.", classes: classes, absent: absentAdapterNames,
    functions: AdapterCatalogue.methods.map { constructor($0) } + [
      Function(
        "define", "Adds a method of the script's own: adapters.<name> then makes it, with everything that native methods have.",
        Param<String>("name", "what it is called; not the name of another method"),
        Param<DefinitionOptions>("definition", "see the fields"), returns: "its constructor: adapters.<name>"
      ) { name, definition in try definitions.define(name, definition) }
    ])
}

/// The constructor of one method, from its declared options.
private func constructor<Method: AdapterMethod>(_ method: Method.Type) -> Function {
  Function(
    method.name, method.summary, Param<AdapterOptions<Method>>("options", "see the fields"), returns: "adapter for Model:add_adapter"
  ) { options in
    AdapterSpec(options.method, targets: options.targets, name: options.adapterName, seed: options.seed)
  }
}

/// What PEFT and others call it, and habit expects, for the errors about names that are not there.
package let absentAdapterNames: [String: String] = [
  "LoraConfig": "it is adapters.lora { r = 8, ... }", "get_peft_model": "it is model:add_adapter(adapters.lora { ... })",
  "load": "it is model:load_adapter(folder)", "from_pretrained": "it is model:load_adapter(folder)",
  "qlora": "QLoRA is models.load(name, { quantization_config = { load_in_4bit = true } }) with adapters.lora",
  "dora": "it is adapters.lora { use_dora = true }", "rslora": "it is adapters.lora { use_rslora = true }",
  "pissa": "it is adapters.lora { init_lora_weights = \"pissa\" }", "olora": "it is adapters.lora { init_lora_weights = \"olora\" }",
  "loraplus": "LoRA+ is loraplus_lr_ratio of trainer.fit", "adapter": "they are adapters.houlsby and adapters.pfeiffer",
  "bottleneck": "they are adapters.houlsby and adapters.pfeiffer", "linear_probe": "it is adapters.classifier", "head": "it is adapters.classifier",
]
