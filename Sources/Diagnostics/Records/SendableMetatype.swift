#if compiler(<6.2)
  /// Swift 6.2 wants to be told that a type's metatype may go to other threads; before, every metatype may.
  public typealias SendableMetatype = Any
#endif
