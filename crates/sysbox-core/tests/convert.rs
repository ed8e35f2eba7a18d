//! The conversion of whole specs: those that engines write, random ones, and hostile ones.
#![expect(clippy::expect_used, reason = "the helpers of the tests are not seen as tests")]

#[path = "convert/allowed.rs"]
mod allowed;
#[path = "convert/cost.rs"]
mod cost;
#[path = "convert/fake.rs"]
mod fake;
#[path = "convert/fixtures.rs"]
mod fixtures;
#[path = "convert/generate.rs"]
mod generate;
#[path = "convert/hostile.rs"]
mod hostile;
#[path = "convert/properties.rs"]
mod properties;
