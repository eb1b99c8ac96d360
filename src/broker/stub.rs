
use super::*; use crate::protocol::*; use std::sync::Arc;
impl Broker {
 pub fn is_delivering(&self)->bool{false}
 pub fn deliver_slice(&mut self,_:Now){}
 pub fn handle_relayed(&mut self,_:Now,_:&Arc<Event>){}
 pub fn handle_unicast(&mut self,_:Now,_:&Arc<Event>,_:&str){}
 pub fn unicast_shard(_:&str)->Option<Shard>{None}
}
