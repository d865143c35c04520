//! Measurements of Lath; see the files beside this folder.
