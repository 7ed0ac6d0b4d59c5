import Diagnostics
import NN

/// Houlsby's adapters: bottlenecks behind attention and behind the feed-forward block, `LayerNorm(o + Ad(o) + x)`.
///
/// o: the sub-layer's output after dropout, x: its input. Act: swish. RoBERTa-base with r = 64: 2,379,264 numbers.
/// Not mergeable: they are not linear.
///
/// Paper: Houlsby et al. 2019, arXiv 1902.00751.
public struct Houlsby: ChoosesParameters {
  public static let name = "houlsby"
  public static let summary = "Bottleneck adapters behind attention and behind the feed-forward block of each layer."
  public static let fields: [Field<Self>] = Field.fields(of: \.options)
  public var options = BottleneckOptions()
  public init() {}

  public var placement: AdapterPlacement { .hosts(SublayerOutput.self) }
  public var freshEqualsBase: Bool { options.initWeights == .zeroUp }
  public func trains(_ parameter: BaseParameter) -> Bool { options.trains(parameter) }

  public func makeAdapter(for host: AdapterHost, at site: AdapterSite) throws -> Adapter? {
    try (host as? SublayerOutput).map { try options.makeAdapter(for: $0, at: site, readsNormed: false) }
  }
}
