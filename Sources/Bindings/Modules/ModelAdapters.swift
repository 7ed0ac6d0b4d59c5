import Adapters
import Diagnostics
import LuaHost
import Training

extension CombinationType: LuaChoice {}

/// Options of `Model:set_adapter`.
struct SetAdapterOptions: LuaRecord {
  var inferenceMode = false
  static let recordName = "set_adapter options"
  static let fields: [Field<Self>] = [
    .value("inference_mode", \.inferenceMode, "freeze the adapters; else their parameters train")
  ]
}

/// Options of `Model:add_weighted_adapter`.
struct WeightedAdapterOptions: LuaRecord {
  var adapters: [String] = []
  var weights: [Double] = []
  var adapterName = ""
  var combinationType = CombinationType.cat
  var svdRank: Int?

  static let recordName = "add_weighted_adapter options"
  static let fields: [Field<Self>] = [
    .value("adapters", \.adapters, "names of attached adapters whose updates are products of two factors", required: true),
    .value("weights", \.weights, "one number for each", type: "number[]", required: true),
    .value("adapter_name", \.adapterName, "what the sum is called", required: true),
    .value(
      "combination_type", \.combinationType,
      "cat: exact, the ranks add up; svd: the best of one rank; linear: sums of factors, as PEFT's default"),
    .int("svd_rank", \.svdRank, "rank for svd; default: the largest of the adapters'", in: 1...65_536),
  ]
}

/// One or several names.
struct AdapterNames: LuaArgument {
  let names: [String]
  static var luaType: LuaType { LuaType("string|string[]") }
  static var expectedWord: String { "name or list of names" }
  static func read(_ stack: LuaStack, at index: Int32) throws(ValueMismatch) -> AdapterNames {
    if let name = try? String.read(stack, at: index) { return AdapterNames(names: [name]) }
    return AdapterNames(names: try [String].read(stack, at: index))
  }
}

/// What a model does with several adapters.
func modelAdapters() -> [Member<TrainableModel>] {
  [
    .property("adapters", "attached adapters, oldest first: tables of name, method, active, modules, parameters") { model in
      model.adapters.map { adapter in
        LuaTable(fields: [
          "name": .string(adapter.name), "method": .string(adapter.method.name), "active": .bool(adapter.isActive),
          "modules": .table(LuaTable(list: adapter.sites.map { .string($0) })),
          "parameters": .integer(adapter.parameterCount),
        ])
      }
    },
    .method(
      "set_adapter",
      "Lets some adapters take part, in the order in which they were attached, and no others. The last with a head of its own brings it.",
      Param<AdapterNames>("names", "one or several"), Param<SetAdapterOptions>("options", "see the fields"), returns: "the model"
    ) { model, names, options in
      try model.requireIdle("set_adapter")
      try model.setActive(names.names, isTrainable: !options.inferenceMode)
      return model
    },
    .method("delete_adapter", "Takes an adapter off the model. The head stays as it is.", Param<String>("name", "its name")) { model, name in
      try model.requireIdle("delete_adapter")
      try model.deleteAdapter(name)
    },
    .method(
      "add_weighted_adapter",
      "Attaches a LoRA that is the weighted sum of others, frozen, in their place: they stay attached, and no longer take part.",
      Param<WeightedAdapterOptions>("options", "see the fields"), returns: "the model"
    ) { model, options in
      try model.requireIdle("add_weighted_adapter")
      try model.addWeightedAdapter(
        options.adapters, weights: options.weights, options.combinationType, r: options.svdRank, name: options.adapterName)
      return model
    },
  ]
}
