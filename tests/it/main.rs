//! What a lattice of real processes must hold, from outside. One file for each part of that promise.
