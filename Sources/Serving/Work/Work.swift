/// What the model thread does for one request.
protocol Work: AnyObject, Sendable {
  /// Work with the same name is done together; nil: this is done alone.
  var group: String? { get }
  /// Whether its request has ended already, so that nobody waits for it.
  var isOver: Bool { get }
  /// Ends it with an error.
  func fail(_ error: any Error)
  /// One turn of this and of others of its group, which stand behind it in the queue. Called by the model thread alone.
  ///
  /// - Parameter between: does other work in the midst of a long turn.
  /// - Returns: those of them that need another turn, in their order.
  func turn(with others: [any Work], between: () -> Void) throws -> [any Work]
}
