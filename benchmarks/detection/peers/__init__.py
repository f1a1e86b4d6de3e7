"""Other products' ways of telling that a window has drifted, as they come."""
