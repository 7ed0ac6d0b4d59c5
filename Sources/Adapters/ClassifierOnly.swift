import Diagnostics

/// Trains the head and nothing else: the baseline that every adapter is compared with.
public struct ClassifierOnly: AdapterMethod {
  public static let name = "classifier"
  public static let summary = "Trains only the head (modules_to_save)."
  public static let fields: [Field<Self>] = []
  public init() {}
}
