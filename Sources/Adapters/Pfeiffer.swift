import Diagnostics
import NN

/// Pfeiffer's adapters: one bottleneck behind each feed-forward block, `LayerNorm(Ad(LayerNorm(o + x)) + o + x)`, where both
/// norms are the layer's own.
///
/// o: the block's output after dropout, x: its input. Act: ReLU. RoBERTa-base with r = 64: 1,189,632 numbers. Not mergeable.
///
/// Paper: Pfeiffer et al. 2021, arXiv 2005.00247.
public struct Pfeiffer: ChoosesParameters {
  public static let name = "pfeiffer"
  public static let summary = "One bottleneck adapter behind the feed-forward block of each layer."
  public static let fields: [Field<Self>] = Field.fields(of: \.options)
  public var options = BottleneckOptions(standard: .relu)
  public init() {}

  public var placement: AdapterPlacement { .hosts(SublayerOutput.self) }
  public var freshEqualsBase: Bool { options.initWeights == .zeroUp }
  public func trains(_ parameter: BaseParameter) -> Bool { options.trains(parameter) }

  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    guard let sublayer = host as? SublayerOutput, sublayer.projection.role == .down else { return nil }
    return try options.makeAdapter(for: sublayer, at: site, readsNormed: true)
  }
}
