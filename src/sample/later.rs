//! Fetches and converters that HAProxy 2.6 has and that are not built yet: so that a configuration with one of
//! them is told that, and not that there is no such thing.

/// Beginnings of families of fetches.
const FETCH_FAMILIES: &[&str] = &["ssl_", "sc_", "sc0_", "sc1_", "sc2_", "src_", "internal.", "table_"];

const FETCHES: &str = "bc_err bc_err_str \
    cpu_calls cpu_ns_avg cpu_ns_tot cur_server_timeout cur_tunnel_timeout \
    distcc_body distcc_param fc_err fc_err_str fc_fackets fc_lost \
    fc_pp_authority fc_pp_unique_id fc_rcvd_proxy fc_reordering fc_retrans fc_rtt fc_rttvar fc_sacked \
    fc_unacked fcgi.docroot fcgi.index last_rule_file last_rule_line lat_ns_avg lat_ns_tot \
    prio_class prio_offset res.cache_hit res.cache_name res.comp res.comp_algo";

/// Beginnings of families of converters.
const CONVERTER_FAMILIES: &[&str] = &["map_", "table_", "jwt_", "mqtt_", "fix_"];

const CONVERTERS: &str = "aes_gcm_dec capture-req capture-res debug in_table json_query map protobuf ungrpc";

/// Whether HAProxy has a fetch of this name.
pub(super) fn fetch(name: &str) -> bool {
    known(name, FETCH_FAMILIES, FETCHES)
}

/// Whether HAProxy has a converter of this name.
pub(super) fn converter(name: &str) -> bool {
    known(name, CONVERTER_FAMILIES, CONVERTERS)
}

fn known(name: &str, families: &[&str], list: &str) -> bool {
    families.iter().any(|family| name.starts_with(family)) || list.split_ascii_whitespace().any(|n| n == name)
}
