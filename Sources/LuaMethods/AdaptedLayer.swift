import Adapters
import Diagnostics
import LuaHost
import LuaTensors
import NN
import TensorCore

/// A linear layer as the functions of a method in Lua see it.
public final class AdaptedLayer: LuaObject {
  public static let luaName = "AdaptedLayer"
  let linear: Linear
  let path: String
  let index: Int
  let count: Int
  /// The largest input and output of all adapted layers.
  let largest: (input: Int, output: Int)
  /// Set while `build` runs.
  var site: AdapterSite?
  /// What `build` made for all layers together.
  private(set) var shared: Set<ObjectIdentifier> = []

  init(_ linear: Linear, _ site: AdapterSite) {
    (self.linear, path, index, count, self.site) = (linear, site.path, site.index, site.count, site)
    let linears = site.hosts.compactMap { $0 as? Linear }
    largest = (linears.map(\.inFeatures).max() ?? linear.inFeatures, linears.map(\.outFeatures).max() ?? linear.outFeatures)
  }

  private func building(_ what: String) throws -> AdapterSite {
    guard let site else { throw EngineError(.argument, "\(what): only build can make parameters") }
    return site
  }

  fileprivate func parameter(_ what: String, _ name: String, _ shape: [Int], _ start: Initialization) throws -> Tensor {
    try building(what).parameter(name, shape, start)
  }

  /// A tensor for all layers of the adapter, made by the first one; frozen unless it trains.
  fileprivate func sharedParameter(_ name: String, _ shape: [Int], _ options: SharedOptions) throws -> Tensor {
    let site = try building("shared")
    let isNew = index == 0
    let tensor = try site.sharedParameter(name, shape, options.start(shape), trains: options.trains)
    if isNew, options.gain != 1 { try Autograd.noGrad { try tensor.mulInPlace(options.gain) } }
    tensor.staysFrozen = !options.trains
    shared.insert(ObjectIdentifier(tensor))
    return tensor
  }
}

/// How a shared tensor starts.
struct SharedOptions: LuaRecord {
  enum Start: String, LuaChoice {
    case zeros, ones, normal
    case kaimingUniform = "kaiming_uniform"
  }

  var initWeights = Start.kaimingUniform
  var std = 1.0
  var gain = 1.0
  var trains = false

  static let recordName = "shared options"
  static let fields: [Field<Self>] = [
    .value("init_weights", \.initWeights, "how it starts; \"kaiming_uniform\" is uniform on 1/sqrt(fan in) to both sides"),
    .float("std", \.std, "standard deviation of \"normal\"", in: 0...),
    .float("gain", \.gain, "multiplies the starting values"),
    .value("trains", \.trains, "whether training changes it"),
  ]

  func start(_ shape: [Int]) -> Initialization {
    switch initWeights {
    case .zeros: .zeros
    case .ones: .ones
    case .normal: .normal(std: std)
    case .kaimingUniform: .kaimingUniform
    }
  }
}

func adaptedLayerClass() -> Class<AdaptedLayer> {
  let name = Param<String>("name", "of the parameter: draws are a function of seed, layer and name, as for native methods")
  let shape = Param<Axes>("shape", "sizes of the axes")
  return Class<AdaptedLayer>(
    "A linear layer that a method of adapters.define adapts.",
    .property("in_features", "size of its input") { $0.linear.inFeatures },
    .property("out_features", "size of its output") { $0.linear.outFeatures },
    .property("max_in_features", "the largest in_features of all adapted layers") { $0.largest.input },
    .property("max_out_features", "the largest out_features of all adapted layers") { $0.largest.output },
    .property("path", "its path in the model") { $0.path },
    .property("index", "its place among the adapted layers, from 0") { $0.index },
    .property("count", "number of adapted layers") { $0.count },
    .property("weight", "a copy of its weight without adapters, [out_features, in_features]") { try $0.linear.base.weight.copy() },
    .method(
      "kaiming_uniform", "Uniform draws on 1/sqrt(fan in) to both sides, as LoRA's A starts.", name, shape, returns: "new tensor"
    ) { try $0.parameter("kaiming_uniform", $1, $2.values, .kaimingUniform) },
    .method(
      "normal", "Normal draws with mean 0.", name, shape, Param<Double>("std", "standard deviation", default: 1, in: 0...),
      returns: "new tensor"
    ) { try $0.parameter("normal", $1, $2.values, .normal(std: $3)) },
    .method(
      "shared", "One tensor for all layers of the adapter, frozen unless it trains; saved under its own name.",
      Param<String>("name", "of the tensor"), shape, Param<SharedOptions>("options", "see the fields"), returns: "tensor"
    ) { try $0.sharedParameter($1, $2.values, $3) },
    .metamethod("__tostring", "path and sizes", Param<AdaptedLayer>("layer", "a layer")) {
      "AdaptedLayer(\($0.path), \($0.linear.outFeatures) x \($0.linear.inFeatures))"
    })
}
