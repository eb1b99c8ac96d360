//! The Pushlet formats (placeholder of the skeleton)
