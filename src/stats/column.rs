//! The columns of the statistics, in HAProxy's order (management manual 9.1).

/// What kind of number or text a column holds; `show stat typed` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Str,
    /// Signed, 32 bits.
    S32,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
}

impl Type {
    /// Its name in the typed and JSON forms.
    pub fn name(self) -> &'static str {
        match self {
            Type::Str => "str",
            Type::S32 => "s32",
            Type::U32 => "u32",
            Type::U64 => "u64",
        }
    }
}

macro_rules! columns {
    ($($column:ident $name:literal $tag:literal $kind:ident)*) => {
        /// One column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        #[allow(missing_docs, reason = "the names are those of HAProxy's statistics, management manual 9.1")]
        pub enum Column {
            $($column),*
        }

        /// All of them, in order.
        pub const COLUMNS: &[(&str, &str, Type)] = &[$(($name, $tag, Type::$kind)),*];
    };
}

/// Columns from here on belong to protocols; CSV has a `-` between.
pub const FIRST_OF_MODULES: usize = Column::SslSess as usize;

impl Column {
    /// Origin, nature and scope: one letter each (management manual 9.2).
    pub fn tag(column: usize, backend: bool) -> &'static str {
        // A backend counts its servers, and never limits its rate; servers say what they are.
        let same = [Column::Act as usize, Column::Bck as usize, Column::Rate as usize, Column::RateMax as usize];
        if backend && same.contains(&column) { "MGP" } else { COLUMNS[column].1 }
    }
}

// Name, tag and type of each.
columns! {
    Pxname "pxname" "KNS" Str
    Svname "svname" "KNS" Str
    Qcur "qcur" "MGP" U32
    Qmax "qmax" "MMP" U32
    Scur "scur" "MGP" U32
    Smax "smax" "MMP" U32
    Slim "slim" "CLP" U32
    Stot "stot" "MCP" U64
    Bin "bin" "MCP" U64
    Bout "bout" "MCP" U64
    Dreq "dreq" "MCP" U64
    Dresp "dresp" "MCP" U64
    Ereq "ereq" "MCP" U64
    Econ "econ" "MCP" U64
    Eresp "eresp" "MCP" U64
    Wretr "wretr" "MCP" U64
    Wredis "wredis" "MCP" U64
    Status "status" "SGP" Str
    Weight "weight" "MaP" U32
    Act "act" "SGP" U32
    Bck "bck" "SGP" U32
    Chkfail "chkfail" "MCP" U64
    Chkdown "chkdown" "MCP" U64
    Lastchg "lastchg" "MAP" U32
    Downtime "downtime" "MCP" U32
    Qlimit "qlimit" "CGS" U32
    Pid "pid" "KGP" U32
    Iid "iid" "KGS" U32
    Sid "sid" "KGS" U32
    Throttle "throttle" "CGS" U32
    Lbtot "lbtot" "MCP" U64
    Tracked "tracked" "KNS" Str
    Type "type" "CGS" U32
    Rate "rate" "MRP" U32
    RateLim "rate_lim" "CLP" U32
    RateMax "rate_max" "MMP" U32
    CheckStatus "check_status" "MOP" Str
    CheckCode "check_code" "MOP" U32
    CheckDuration "check_duration" "MDP" U64
    Hrsp1xx "hrsp_1xx" "MCP" U64
    Hrsp2xx "hrsp_2xx" "MCP" U64
    Hrsp3xx "hrsp_3xx" "MCP" U64
    Hrsp4xx "hrsp_4xx" "MCP" U64
    Hrsp5xx "hrsp_5xx" "MCP" U64
    HrspOther "hrsp_other" "MCP" U64
    Hanafail "hanafail" "MCP" U64
    ReqRate "req_rate" "MRP" U32
    ReqRateMax "req_rate_max" "MMP" U32
    ReqTot "req_tot" "MCP" U64
    CliAbrt "cli_abrt" "MCP" U64
    SrvAbrt "srv_abrt" "MCP" U64
    CompIn "comp_in" "MCP" U64
    CompOut "comp_out" "MCP" U64
    CompByp "comp_byp" "MCP" U64
    CompRsp "comp_rsp" "MCP" U64
    Lastsess "lastsess" "MAP" S32
    LastChk "last_chk" "MOP" Str
    LastAgt "last_agt" "MOP" Str
    Qtime "qtime" "MaP" U32
    Ctime "ctime" "MaP" U32
    Rtime "rtime" "MaP" U32
    Ttime "ttime" "MaP" U32
    AgentStatus "agent_status" "MOP" Str
    AgentCode "agent_code" "MOP" U32
    AgentDuration "agent_duration" "MDP" U64
    CheckDesc "check_desc" "MOP" Str
    AgentDesc "agent_desc" "MOP" Str
    CheckRise "check_rise" "CGS" U32
    CheckFall "check_fall" "CGS" U32
    CheckHealth "check_health" "CGS" U32
    AgentRise "agent_rise" "CGS" U32
    AgentFall "agent_fall" "CGS" U32
    AgentHealth "agent_health" "CGS" U32
    Addr "addr" "CGS" Str
    Cookie "cookie" "CNS" Str
    Mode "mode" "CGS" Str
    Algo "algo" "CGS" Str
    ConnRate "conn_rate" "MRP" U32
    ConnRateMax "conn_rate_max" "MMP" U32
    ConnTot "conn_tot" "MCP" U64
    Intercepted "intercepted" "MCP" U64
    Dcon "dcon" "MCP" U64
    Dses "dses" "MCP" U64
    Wrew "wrew" "MCP" U64
    Connect "connect" "MCP" U64
    Reuse "reuse" "MCP" U64
    CacheLookups "cache_lookups" "MCP" U64
    CacheHits "cache_hits" "MCP" U64
    SrvIcur "srv_icur" "MGP" U32
    SrcIlim "src_ilim" "CLS" U32
    QtimeMax "qtime_max" "MMP" U32
    CtimeMax "ctime_max" "MMP" U32
    RtimeMax "rtime_max" "MMP" U32
    TtimeMax "ttime_max" "MMP" U32
    Eint "eint" "MCP" U64
    IdleConnCur "idle_conn_cur" "MGP" U32
    SafeConnCur "safe_conn_cur" "MGP" U32
    UsedConnCur "used_conn_cur" "MGP" U32
    NeedConnEst "need_conn_est" "MGP" U32
    Uweight "uweight" "MaP" U32
    AggServerStatus "agg_server_status" "MGP" U32
    AggServerCheckStatus "agg_server_check_status" "MGP" U32
    AggCheckStatus "agg_check_status" "MGP" U32
    SslSess "ssl_sess" "MCP" U64
    SslReusedSess "ssl_reused_sess" "MCP" U64
    SslFailedHandshake "ssl_failed_handshake" "MCP" U64
    H2HeadersRcvd "h2_headers_rcvd" "MCP" U64
    H2DataRcvd "h2_data_rcvd" "MCP" U64
    H2SettingsRcvd "h2_settings_rcvd" "MCP" U64
    H2RstStreamRcvd "h2_rst_stream_rcvd" "MCP" U64
    H2GoawayRcvd "h2_goaway_rcvd" "MCP" U64
    H2DetectedConnProtocolErrors "h2_detected_conn_protocol_errors" "MCP" U64
    H2DetectedStrmProtocolErrors "h2_detected_strm_protocol_errors" "MCP" U64
    H2RstStreamResp "h2_rst_stream_resp" "MCP" U64
    H2GoawayResp "h2_goaway_resp" "MCP" U64
    H2OpenConnections "h2_open_connections" "MGP" U64
    H2BackendOpenStreams "h2_backend_open_streams" "MGP" U64
    H2TotalConnections "h2_total_connections" "MCP" U64
    H2BackendTotalStreams "h2_backend_total_streams" "MCP" U64
    H1OpenConnections "h1_open_connections" "MGP" U64
    H1OpenStreams "h1_open_streams" "MGP" U64
    H1TotalConnections "h1_total_connections" "MCP" U64
    H1TotalStreams "h1_total_streams" "MCP" U64
    H1BytesIn "h1_bytes_in" "MCP" U64
    H1BytesOut "h1_bytes_out" "MCP" U64
    H1SplicedBytesIn "h1_spliced_bytes_in" "MCP" U64
    H1SplicedBytesOut "h1_spliced_bytes_out" "MCP" U64
}
