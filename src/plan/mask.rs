//! Hides secrets: data of Secrets, and every string that holds a secret value.
