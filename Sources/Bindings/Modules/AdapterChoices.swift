import Adapters
import Diagnostics
import LuaHost
import Training

/// Options of `Model:set_rank`.
struct RankOptions: LuaRecord {
  var r = 0
  var adapterName: String?
  static let recordName = "set_rank options"
  static let fields: [Field<Self>] = [
    .int("r", \.r, "rank to compute with", in: 1..., required: true),
    .value("adapter_name", \.adapterName, "which adapter; default: the one that was attached last"),
  ]
}

/// The forms of the five parts of one layer.
struct GLoRAForms: LuaRecord {
  var forms = GLoRAConfiguration.largest
  static let recordName = "GLoRA configuration"
  static let fields: [Field<Self>] = [
    .value("A", \.forms.a, "scale of the weight", required: true), .value("B", \.forms.b, "shift of the weight", required: true),
    .value("C", \.forms.c, "column that goes through the weight into the bias", required: true),
    .value("D", \.forms.d, "scale of the bias", required: true), .value("E", \.forms.e, "shift of the bias", required: true),
  ]
}

/// Options of `Model:set_glora`.
struct GLoRAOptions: LuaRecord {
  var configurations: [GLoRAForms] = []
  var adapterName: String?
  static let recordName = "set_glora options"
  static let fields: [Field<Self>] = [
    .value("configurations", \.configurations, "one for each layer, in the order of glora_layers; default: drawn in training again"),
    .value("adapter_name", \.adapterName, "which adapter; default: the one that was attached last"),
  ]
}

/// What chooses among the models that an adapter holds.
func adapterChoices() -> [Member<TrainableModel>] {
  [
    .method("set_rank", "Lets a DyLoRA compute with its first rows alone.", Param<RankOptions>("options", "see the fields"), returns: "the model") {
      model, options in
      try model.requireIdle("set_rank")
      try model.adapter(named: options.adapterName).setRank(options.r)
      return model
    },
    .method(
      "glora_layers", "The layers of a GLoRA supernet, in order.", Param<AdapterFileOptions?>("options", "which adapter"),
      returns: "list of tables: path, in_features, out_features, r, has_bias; A to E once they are chosen"
    ) { model, options in
      try model.adapter(named: options?.adapterName).gloraLayers().map { layer in
        var fields: [String: LuaValue] = [
          "path": .string(layer.path), "in_features": .integer(layer.inFeatures), "out_features": .integer(layer.outFeatures),
          "r": .integer(layer.r), "has_bias": .bool(layer.hasBias),
        ]
        if let forms = layer.configuration {
          fields["A"] = .string(forms.a.rawValue)
          fields["B"] = .string(forms.b.rawValue)
          fields["C"] = .string(forms.c.rawValue)
          fields["D"] = .string(forms.d.rawValue)
          fields["E"] = .string(forms.e.rawValue)
        }
        return LuaTable(fields: fields)
      }
    },
    .method(
      "set_glora", "Gives every layer of a GLoRA supernet a configuration.", Param<GLoRAOptions>("options", "see the fields"),
      returns: "the model"
    ) { model, options in
      try model.requireIdle("set_glora")
      let adapter = try model.adapter(named: options.adapterName)
      let count = try adapter.gloraLayers().count
      let chosen = options.configurations.map { Optional($0.forms) }
      try adapter.setGLoRAConfigurations(chosen.isEmpty ? [GLoRAConfiguration?](repeating: nil, count: count) : chosen)
      return model
    },
  ]
}
