//! Every structure of the room against a plain model of it, and what a session costs.

mod frames;
mod outbox;
mod size;
mod subscriptions;
mod table;
