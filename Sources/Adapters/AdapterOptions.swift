import Diagnostics

/// A method's own options, and those that all methods share.
public struct AdapterOptions<Method: AdapterMethod>: Record {
  public var method = Method()
  public var targets = AdapterTargets()
  public var adapterName = "default"
  public var seed: Int?

  public init() {}

  public static var recordName: String { Method.name + " options" }
  public static var typeName: String { "\(Method.self)Options" }
  public static var foreignNames: [String: ForeignName] { AdapterTargets.foreignNames }
  public static var fields: [Field<Self>] {
    Field.fields(of: \.method) + Field.fields(of: \.targets) + [
      .value("adapter_name", \.adapterName, "tells several adapters of one model apart"),
      .int("seed", \.seed, "seeds the adapter's weights; default: --seed, else 42", in: 0...),
    ]
  }
}
