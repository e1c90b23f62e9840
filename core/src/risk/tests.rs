//! Each rule of admission, produced and held against a slow model.
