//! Short names for the protobuf modules, so that the rules read like the chain's own words.

pub(crate) use virtengine_chain::proto::cosmos::auth::v1beta1 as auth;
pub(crate) use virtengine_chain::proto::cosmos::authz::v1beta1 as authz;
pub(crate) use virtengine_chain::proto::cosmos::bank::v1beta1 as bank;
pub(crate) use virtengine_chain::proto::cosmos::base::abci::v1beta1 as abci;
pub(crate) use virtengine_chain::proto::cosmos::base::node::v1beta1 as node;
pub(crate) use virtengine_chain::proto::cosmos::base::query::v1beta1 as page;
pub(crate) use virtengine_chain::proto::cosmos::base::tendermint::v1beta1 as tm;
pub(crate) use virtengine_chain::proto::cosmos::base::v1beta1 as coin;
pub(crate) use virtengine_chain::proto::cosmos::crypto;
pub(crate) use virtengine_chain::proto::cosmos::feegrant::v1beta1 as feegrant;
pub(crate) use virtengine_chain::proto::cosmos::tx::signing::v1beta1 as signing;
pub(crate) use virtengine_chain::proto::cosmos::tx::v1beta1 as tx;
pub(crate) use virtengine_chain::proto::tendermint;
pub(crate) use virtengine_chain::proto::virtengine::base::attributes::v1 as attr;
pub(crate) use virtengine_chain::proto::virtengine::base::deposit::v1 as deposit;
pub(crate) use virtengine_chain::proto::virtengine::base::resources::v1beta4 as res;
pub(crate) use virtengine_chain::proto::virtengine::deployment::v1 as dv1;
pub(crate) use virtengine_chain::proto::virtengine::deployment::v1beta4 as dv4;
pub(crate) use virtengine_chain::proto::virtengine::escrow::id::v1 as eid;
pub(crate) use virtengine_chain::proto::virtengine::escrow::types::v1 as et;
pub(crate) use virtengine_chain::proto::virtengine::escrow::v1 as ev1;
pub(crate) use virtengine_chain::proto::virtengine::market::v1 as mv1;
pub(crate) use virtengine_chain::proto::virtengine::market::v1beta5 as mv5;
pub(crate) use virtengine_chain::proto::virtengine::provider::v1beta4 as pv4;
pub(crate) use virtengine_chain::proto::virtengine::resources::v1 as rv1;
pub(crate) use virtengine_chain::proto::virtengine::settlement::v1 as sv1;
